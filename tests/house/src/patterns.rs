//! Where the patterns of a match name variants, and where they take whatever there is.
//!
//! A place in a pattern is written as the way to it: `/Some.0/Layer.op` is the field `op` of a `Layer` in a `Some`.

use proc_macro2::Span;
use std::collections::BTreeMap;
use syn::{Member, Pat, Path};

/// What stands at a place.
enum Leaf {
    /// A variant of this enum.
    Variant(String),
    /// Anything: `_` or a name.
    Anything(Span),
    /// `..`: anything at all places that begin so, except for these.
    Rest(Span, Vec<String>),
}

/// The enum of which a path names a variant, if it is one that matters.
pub type EnumOf<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The enums whose variants a pattern names, each once.
pub fn named(pattern: &Pat, enum_of: EnumOf<'_>) -> Vec<String> {
    let mut enums: Vec<String> = variants(&[pattern], enum_of).into_values().collect();
    enums.sort();
    enums.dedup();
    enums
}

/// A part of a pattern that takes variants which no alternative of the match names.
pub struct CatchAll {
    /// Index of the pattern.
    pub arm: usize,
    /// Where it is.
    pub span: Span,
    /// The enum.
    pub of: String,
}

/// The parts of a match's patterns that take variants which none of them names.
pub fn catch_all(patterns: &[&Pat], enum_of: EnumOf<'_>) -> Vec<CatchAll> {
    let variants = variants(patterns, enum_of);
    let mut found = Vec::new();
    for (arm, pattern) in patterns.iter().enumerate() {
        walk(pattern, String::new(), enum_of, &mut |place, leaf| {
            let takes = |other: &&String| match &leaf {
                Leaf::Variant(_) => false,
                Leaf::Anything(_) => is_inside(other, &place),
                Leaf::Rest(_, except) => other.starts_with(&place) && !except.iter().any(|kept| is_inside(other, kept)),
            };
            if let (Some(taken), Leaf::Anything(span) | Leaf::Rest(span, _)) = (variants.keys().find(takes), &leaf) {
                found.push(CatchAll { arm, span: *span, of: variants[taken].clone() });
            }
        });
    }
    found
}

/// Whether a place is another one or lies in it.
fn is_inside(place: &str, other: &str) -> bool {
    place.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The places at which patterns name variants, and of which enum.
fn variants(patterns: &[&Pat], enum_of: EnumOf<'_>) -> BTreeMap<String, String> {
    let mut variants = BTreeMap::new();
    for pattern in patterns {
        walk(pattern, String::new(), enum_of, &mut |place, leaf| {
            if let Leaf::Variant(of) = leaf {
                variants.insert(place, of);
            }
        });
    }
    variants
}

fn walk(pattern: &Pat, place: String, enum_of: EnumOf<'_>, see: &mut dyn FnMut(String, Leaf)) {
    match pattern {
        Pat::Wild(wild) => see(place, Leaf::Anything(wild.underscore_token.spans[0])),
        Pat::Ident(name) => match &name.subpat {
            Some((_, inner)) => walk(inner, place, enum_of, see),
            // A name in capitals is a constant or a variant such as `None`.
            None if name.ident.to_string().starts_with(char::is_uppercase) => {}
            None => see(place, Leaf::Anything(name.ident.span())),
        },
        Pat::Or(or) => or.cases.iter().for_each(|case| walk(case, place.clone(), enum_of, see)),
        Pat::Paren(inner) => walk(&inner.pat, place, enum_of, see),
        Pat::Reference(inner) => walk(&inner.pat, place, enum_of, see),
        Pat::Type(inner) => walk(&inner.pat, place, enum_of, see),
        Pat::Path(path) => {
            if let Some(of) = enum_of(&path.path) {
                see(place, Leaf::Variant(of));
            }
        }
        Pat::TupleStruct(tuple) => {
            if let Some(of) = enum_of(&tuple.path) {
                see(place.clone(), Leaf::Variant(of));
            }
            walk_all(&tuple.elems.iter().collect::<Vec<_>>(), &format!("{place}/{}.", last(&tuple.path)), enum_of, see);
        }
        Pat::Tuple(tuple) => walk_all(&tuple.elems.iter().collect::<Vec<_>>(), &format!("{place}/()."), enum_of, see),
        Pat::Slice(slice) => walk_all(&slice.elems.iter().collect::<Vec<_>>(), &format!("{place}/[]."), enum_of, see),
        Pat::Struct(fields) => {
            if let Some(of) = enum_of(&fields.path) {
                see(place.clone(), Leaf::Variant(of));
            }
            let before = format!("{place}/{}.", last(&fields.path));
            let mut named = Vec::new();
            for field in &fields.fields {
                let member = match &field.member {
                    Member::Named(name) => name.to_string(),
                    Member::Unnamed(index) => index.index.to_string(),
                };
                named.push(format!("{before}{member}"));
                walk(&field.pat, format!("{before}{member}"), enum_of, see);
            }
            if let Some(rest) = &fields.rest {
                see(before, Leaf::Rest(rest.dot2_token.spans[0], named));
            }
        }
        // Literals, ranges, constants, macros.
        _ => {}
    }
}

/// Walks over patterns side by side, of which one may be `..`. Places behind that are counted from the end.
fn walk_all(patterns: &[&Pat], before: &str, enum_of: EnumOf<'_>, see: &mut dyn FnMut(String, Leaf)) {
    let rest = patterns.iter().position(|pattern| rest_of(pattern).is_some());
    let mut named = Vec::new();
    for (i, pattern) in patterns.iter().enumerate().filter(|(i, _)| Some(*i) != rest) {
        let place = match rest {
            Some(rest) if i > rest => format!("{before}-{}", patterns.len() - i),
            _ => format!("{before}{i}"),
        };
        named.push(place.clone());
        walk(pattern, place, enum_of, see);
    }
    if let Some(span) = rest.and_then(|rest| rest_of(patterns[rest])) {
        see(before.to_string(), Leaf::Rest(span, named));
    }
}

/// Where the `..` is in a pattern that is `..` or `name @ ..`.
fn rest_of(pattern: &Pat) -> Option<Span> {
    match pattern {
        Pat::Rest(rest) => Some(rest.dot2_token.spans[0]),
        Pat::Ident(name) => name.subpat.as_ref().and_then(|(_, inner)| rest_of(inner)),
        _ => None,
    }
}

fn last(path: &Path) -> String {
    path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
}
