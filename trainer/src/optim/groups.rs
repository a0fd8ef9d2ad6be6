//! Which rules are for which parameters.

use super::options::OptimOptions;
use super::rule::{Rule, RuleError};
use super::settings::Settings;
use crate::init::Init;
use crate::nearest::nearest;
use crate::plan::{Kind, Role};
use crate::schedule::{Moment, Plateau, ScheduleOptions};
use staticnet_graph::graph::Graph;
use std::collections::{BTreeMap, BTreeSet};

/// Parameters that the same rules are for.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The selectors of its rules, the more specific one later; `default` where there is none.
    pub label: String,
    /// Names of the parameters, in the order of the graph.
    pub parameters: Vec<String>,
    /// What holds for them. The rate itself is [`Group::lr`].
    pub settings: Settings,
    /// What a rate that follows a metric remembers.
    pub(super) plateau: Plateau,
}

impl Group {
    /// Vectors that are remembered for each of its parameters.
    pub fn states(&self) -> usize {
        if self.settings.freeze { 0 } else { self.settings.method(0.0, 1).states().iter().filter(|has| **has).count() }
    }

    /// The learning rate of the step at `at`; 0 for parameters that stay as they are.
    pub fn lr(&self, at: Moment) -> f64 {
        if self.settings.freeze {
            return 0.0;
        }
        self.settings.schedule.rate(at, &self.plateau) * self.settings.lr_factor.unwrap_or(1.0)
    }
}

/// All parameters of a network in groups. The first group is that of the defaults, whether it has parameters or not.
///
/// Of the rules for a parameter the more specific one wins, key by key: kinds (`bias`) before kinds of two words (`conv.bias`)
/// before names, of which the longer one wins (`classifier`, `classifier.6`, `classifier.6.bias`). Of rules that are equally
/// specific the later one wins.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    pub(super) groups: Vec<Group>,
    inits: BTreeMap<String, Init>,
}

/// A parameter as selectors see it.
struct Subject<'a> {
    name: &'a str,
    layer: &'a str,
    kind: Option<&'static str>,
    role: Role,
}

/// How well a selector fits: kinds are 0, names 1, and of both the number of words counts.
type Specificity = (u8, usize);

impl Subject<'_> {
    fn specificity(&self, selector: &str) -> Option<Specificity> {
        let words = selector.split('.').count();
        let below = |name: &str| name.strip_prefix(selector).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let by_name = if selector == self.name {
            // A parameter need not be named after its layer.
            Some((1, usize::MAX))
        } else {
            (below(self.layer) || below(self.name)).then_some((1, words))
        };
        by_name.or_else(|| self.kinds().any(|kind| kind == selector).then_some((0, words)))
    }

    fn kinds(&self) -> impl Iterator<Item = String> {
        let role = self.role.name();
        let kinds = self.kind.into_iter().flat_map(move |kind| [kind.to_string(), format!("{kind}.{role}")]);
        kinds.chain([role.to_string()])
    }

    /// Whether `init` of a rule is for it: a bias has to be named.
    fn takes_init(&self, selector: &str) -> bool {
        let role = self.role.name();
        self.role == Role::Weight || selector == self.name || selector.rsplit('.').next() == Some(role)
    }
}

/// The parameters in the order of the graph; one that several layers use is the first one's.
fn subjects(graph: &Graph) -> Vec<Subject<'_>> {
    let mut seen = BTreeSet::new();
    let all = graph.nodes.iter().flat_map(|node| {
        let roles = [Role::Weight].into_iter().chain(std::iter::repeat(Role::Bias));
        let kind = Kind::of(&node.op).map(Kind::name);
        node.params.iter().zip(roles).map(move |(name, role)| Subject { name, layer: &node.name, kind, role })
    });
    all.filter(|s| graph.params.contains_key(s.name) && seen.insert(s.name)).collect()
}

/// All that selects something, each once: kinds, then layers and what they lie in, then parameters.
fn candidates(subjects: &[Subject<'_>]) -> Vec<String> {
    let kinds = subjects.iter().flat_map(Subject::kinds);
    let layers = subjects.iter().flat_map(|s| {
        let ends = s.layer.match_indices('.').map(|(i, _)| i).chain([s.layer.len()]);
        ends.map(|end| s.layer[..end].to_string())
    });
    let names = subjects.iter().map(|s| s.name.to_string());
    let mut seen = BTreeSet::new();
    kinds.chain(layers).chain(names).filter(|name| seen.insert(name.clone())).collect()
}

impl Groups {
    /// Finds out what holds for each parameter of `graph`.
    ///
    /// # Errors
    /// [`RuleError`]: an option or a rule makes no sense, or a rule is for nothing in this network.
    pub fn new(graph: &Graph, options: &OptimOptions, schedule: &ScheduleOptions) -> Result<Groups, RuleError> {
        let default = Settings { optim: options.clone(), schedule: schedule.clone(), ..Settings::default() };
        default.check()?;
        let subjects = subjects(graph);
        let rules = &options.rule;
        if let Some(rule) = rules.iter().find(|r| subjects.iter().all(|s| s.specificity(&r.selector).is_none())) {
            let all = candidates(&subjects);
            let candidates = nearest(&rule.selector, all.iter().map(String::as_str)).into_iter().map(String::from).collect();
            return Err(RuleError::Nothing { rule: rule.to_string(), candidates });
        }
        let group = |label: String, settings| Group { label, parameters: Vec::new(), settings, plateau: Plateau::default() };
        // The rules that each group is for.
        let mut keys = vec![Vec::new()];
        let mut inits = BTreeMap::new();
        let mut groups = vec![group("default".into(), default.clone())];
        for subject in &subjects {
            let mut fitting: Vec<(Specificity, usize)> =
                (0..rules.len()).filter_map(|i| Some((subject.specificity(&rules[i].selector)?, i))).collect();
            fitting.sort_unstable();
            let chosen: Vec<&Rule> = fitting.iter().map(|(_, i)| &rules[*i]).collect();
            let (settings, init) = settings(&default, &chosen, subject)?;
            inits.extend(init.map(|init| (subject.name.to_string(), init)));
            let key: Vec<usize> = fitting.iter().map(|(_, i)| *i).collect();
            let place = keys.iter().position(|k| *k == key).unwrap_or_else(|| {
                let label: Vec<&str> = chosen.iter().map(|r| r.selector.as_str()).collect();
                keys.push(key);
                groups.push(group(label.join(" + "), settings));
                groups.len() - 1
            });
            groups[place].parameters.push(subject.name.to_string());
        }
        Ok(Groups { groups, inits })
    }

    /// One after the other, that of the defaults first.
    pub fn iter(&self) -> std::slice::Iter<'_, Group> {
        self.groups.iter()
    }

    /// The group of a parameter.
    pub fn of(&self, parameter: &str) -> Option<&Group> {
        self.iter().find(|g| g.parameters.iter().any(|p| p == parameter))
    }

    /// How a parameter begins, if a rule says it. Biases follow a rule that names them (`bias`, `conv.bias`, `features.3.bias`): the
    /// `init` of `conv` is for weights.
    pub fn init(&self, parameter: &str) -> Option<Init> {
        self.inits.get(parameter).copied()
    }
}

/// What `rules`, in this order, make of the defaults.
fn settings(default: &Settings, rules: &[&Rule], subject: &Subject<'_>) -> Result<(Settings, Option<Init>), RuleError> {
    let mut settings = default.clone();
    for rule in rules {
        let fail = |reason: String| RuleError::Rule { rule: rule.to_string(), reason };
        for (key, value) in &rule.settings {
            if key == "init" && !subject.takes_init(&rule.selector) {
                continue;
            }
            settings.set(key, value).map_err(fail)?;
        }
        if let (Role::Bias, Some(init)) = (subject.role, settings.init)
            && !init.suits_biases()
        {
            return Err(fail(format!("init: {init} is for weights, and {} is a bias", subject.name)));
        }
        settings.check().map_err(|e| fail(format!("{e} (for {})", subject.name)))?;
    }
    // Biases of a group do not begin as its weights do.
    let init = settings.init.take();
    Ok((settings, init))
}
