//! No default answer for operators that are not named: an operator that is added later would get it without anyone being asked.
//!
//! Three forms give one: an arm of a match that takes what the others leave, `matches!`, and `if let` or `let` with an `else` that
//! has an answer of its own. Looking for one pattern and doing nothing otherwise is fine.

use crate::imports::used;
use crate::patterns::{CatchAll, catch_all, named};
use crate::source::{Tree, attributes, for_tests};
use proc_macro2::{Span, TokenStream, TokenTree};
use std::collections::BTreeMap;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{
    Arm, Attribute, Block, Expr, ExprIf, ExprMatch, ImplItem, ImplItemFn, Item, ItemFn, ItemImpl, ItemUse, Local, Macro,
};
use syn::{Meta, Pat, Path, Stmt, Token, Type};

/// The crates that are looked at.
pub const CRATES: [&str; 4] = ["runtime", "graph", "exporter", "trainer"];

/// The enums over which every answer is given by name.
const ENUMS: [&str; 5] = ["Op", "OpCode", "Function", "BinaryOp", "Target"];

/// A default answer.
#[derive(Debug)]
pub struct Finding {
    /// Index of the file in the tree.
    pub file: usize,
    /// The line, from 1.
    pub line: usize,
    /// Name of the function.
    pub function: String,
    /// What is there.
    pub what: String,
}

/// All default answers in a tree.
pub fn find(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for module in &tree.modules {
        let mut names = Renames::default();
        module.items.iter().for_each(|item| names.visit_item(item));
        let mut look =
            Look { file: module.file, renamed: names.0, function: Vec::new(), this: None, expected: 0, found: &mut found };
        module.items.iter().for_each(|item| look.visit_item(item));
    }
    found
}

/// The names that `use` gives to the enums: the name, and the enum's own.
#[derive(Default)]
struct Renames(BTreeMap<String, String>);

impl<'a> Visit<'a> for Renames {
    fn visit_item_use(&mut self, item: &'a ItemUse) {
        for (path, name) in used(&item.tree) {
            if let (Some(last), Some(name)) = (path.last().filter(|last| ENUMS.contains(&&last[..])), name) {
                self.0.insert(name, last.clone());
            }
        }
    }
}

struct Look<'f> {
    file: usize,
    renamed: BTreeMap<String, String>,
    function: Vec<String>,
    /// What `Self` is.
    this: Option<String>,
    /// How many attributes around expect clippy to warn of a wildcard, with a reason.
    expected: usize,
    found: &'f mut Vec<Finding>,
}

impl Look<'_> {
    fn add(&mut self, span: Span, what: String) {
        let function = self.function.last().cloned().unwrap_or_default();
        self.found.push(Finding { file: self.file, line: span.start().line, function, what });
    }

    /// The enum of which a path names a variant.
    fn enum_of(&self, path: &Path) -> Option<String> {
        let name = path.segments.iter().rev().nth(1)?.ident.to_string();
        let name = if name == "Self" { self.this.clone()? } else { name };
        self.renamed.get(&name).cloned().or_else(|| ENUMS.contains(&&name[..]).then_some(name))
    }

    fn named(&self, pattern: &Pat) -> Option<String> {
        let enums = named(pattern, &|path| self.enum_of(path));
        (!enums.is_empty()).then(|| enums.join(", "))
    }

    /// Patterns inside the conditions `let .. = ..` of an `if`.
    fn conditions(&self, condition: &Expr) -> Option<String> {
        match condition {
            Expr::Let(condition) => self.named(&condition.pat),
            Expr::Binary(both) => self.conditions(&both.left).or_else(|| self.conditions(&both.right)),
            Expr::Paren(inner) => self.conditions(&inner.expr),
            _ => None,
        }
    }

    fn look_at_matches(&mut self, called: &Macro) {
        let parse = |input: ParseStream<'_>| {
            let value: Expr = input.parse()?;
            input.parse::<Token![,]>()?;
            let pattern = Pat::parse_multi_with_leading_vert(input)?;
            let guard: Option<Expr> = if input.parse::<Option<Token![if]>>()?.is_some() { Some(input.parse()?) } else { None };
            input.parse::<Option<Token![,]>>()?;
            Ok((value, pattern, guard))
        };
        let span = called.path.segments[0].ident.span();
        match parse.parse2(called.tokens.clone()) {
            Ok((value, pattern, guard)) => {
                if let Some(enums) = self.named(&pattern) {
                    self.add(span, format!("`matches!` over {enums} says no for every variant that it does not name"));
                }
                self.visit_expr(&value);
                guard.iter().for_each(|guard| self.visit_expr(guard));
            }
            // Inside a `macro_rules!`, where a part may be `$pattern`.
            Err(_) => {
                let text = called.tokens.to_string();
                let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
                if let Some(name) = words.find(|word| ENUMS.contains(word)) {
                    self.add(span, format!("`matches!` over {name} says no for every variant that it does not name"));
                }
            }
        }
    }

    /// Looks for `matches!` in tokens that are neither expressions nor statements.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (i, token) in tokens.iter().enumerate() {
            let TokenTree::Group(group) = token else { continue };
            let before: String = tokens[i.saturating_sub(2)..i].iter().map(|token| token.to_string()).collect();
            if before == "matches!" {
                let called: TokenStream = tokens[i - 2..=i].iter().cloned().collect();
                if let Ok(called) = syn::parse2::<Macro>(called) {
                    self.look_at_matches(&called);
                }
            } else {
                self.scan(group.stream());
            }
        }
    }

    /// Runs `inside` with what attributes expect.
    fn expecting(&mut self, attributes: &[Attribute], inside: impl FnOnce(&mut Self)) {
        let expected = attributes.iter().filter(|attribute| expects_wildcard(attribute)).count();
        self.expected += expected;
        inside(self);
        self.expected -= expected;
    }
}

/// Whether an attribute lets clippy's lint of wildcards pass, for a reason that it gives.
fn expects_wildcard(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    let text: String = list.tokens.to_string().split_whitespace().collect();
    let lets = list.path.is_ident("expect") || list.path.is_ident("allow");
    lets && text.contains("clippy::wildcard_enum_match_arm") && text.contains("reason=")
}

/// Whether an `else` does nothing: it goes on with the next one, or returns nothing.
fn does_nothing(otherwise: &Expr) -> bool {
    let Expr::Block(block) = otherwise else { return false };
    let [Stmt::Expr(only, _)] = &block.block.stmts[..] else { return false };
    let nothing = |value: &Expr| match value {
        Expr::Path(path) => path.path.is_ident("None"),
        Expr::Call(call) => {
            let is_ok = matches!(&*call.func, Expr::Path(path) if path.path.is_ident("Ok"));
            is_ok
                && call.args.iter().all(|value| match value {
                    Expr::Path(path) => path.path.is_ident("None"),
                    Expr::Tuple(unit) => unit.elems.is_empty(),
                    _ => false,
                })
        }
        _ => false,
    };
    match only {
        Expr::Continue(_) => true,
        Expr::Break(only) => only.expr.is_none(),
        Expr::Return(only) => only.expr.as_deref().is_none_or(nothing),
        _ => false,
    }
}

impl<'a> Visit<'a> for Look<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        self.function.push(item.sig.ident.to_string());
        self.expecting(&item.attrs, |look| visit::visit_item_fn(look, item));
        self.function.pop();
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        let ImplItem::Fn(function) = item else { return visit::visit_impl_item(self, item) };
        if !for_tests(&function.attrs) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        self.function.push(item.sig.ident.to_string());
        self.expecting(&item.attrs, |look| visit::visit_impl_item_fn(look, item));
        self.function.pop();
    }

    fn visit_item_impl(&mut self, item: &'a ItemImpl) {
        let outer = self.this.take();
        if let Type::Path(path) = &*item.self_ty {
            self.this = path.path.segments.last().map(|segment| segment.ident.to_string());
        }
        visit::visit_item_impl(self, item);
        self.this = outer;
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        for (path, name) in used(&item.tree) {
            let inside = if name.is_some() { &path[..path.len() - 1] } else { &path[..] };
            if let Some(name) = inside.iter().find(|name| ENUMS.contains(&&name[..])) {
                let span = item.use_token.span;
                self.add(span, format!("variants of {name} are imported by name; write `{name}::` where they are used"));
            }
        }
    }

    fn visit_expr_match(&mut self, expression: &'a ExprMatch) {
        self.expecting(&expression.attrs, |look| {
            let patterns: Vec<&Pat> = expression.arms.iter().map(|arm| &arm.pat).collect();
            let found = catch_all(&patterns, &|path| look.enum_of(path));
            for CatchAll { arm, span, of } in found {
                look.expecting(&expression.arms[arm].attrs, |look| {
                    if look.expected == 0 {
                        look.add(span, format!("an arm that takes every variant of {of} which no arm names"));
                    }
                });
            }
            visit::visit_expr_match(look, expression);
        });
    }

    fn visit_arm(&mut self, arm: &'a Arm) {
        self.expecting(&arm.attrs, |look| visit::visit_arm(look, arm));
    }

    fn visit_expr_if(&mut self, expression: &'a ExprIf) {
        if let (Some((token, _)), Some(enums)) = (&expression.else_branch, self.conditions(&expression.cond)) {
            self.add(token.span, format!("`if let` with an `else` for every variant of {enums} that it does not name"));
        }
        visit::visit_expr_if(self, expression);
    }

    fn visit_local(&mut self, local: &'a Local) {
        if let Some((token, otherwise)) = local.init.as_ref().and_then(|init| init.diverge.as_ref())
            && let Some(enums) = self.named(&local.pat)
            && !does_nothing(otherwise)
        {
            self.add(token.span, format!("`let .. else` with an answer for every variant of {enums} that it does not name"));
        }
        visit::visit_local(self, local);
    }

    fn visit_macro(&mut self, called: &'a Macro) {
        if called.path.is_ident("matches") {
            return self.look_at_matches(called);
        }
        if let Ok(arguments) = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(called.tokens.clone()) {
            arguments.iter().for_each(|argument| self.visit_expr(argument));
        } else if let Ok(statements) = Block::parse_within.parse2(called.tokens.clone()) {
            statements.iter().for_each(|statement| self.visit_stmt(statement));
        } else {
            self.scan(called.tokens.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::tree;

    /// How many default answers a function of this body has.
    fn count(body: &str) -> usize {
        find(&tree(&[("src/lib.rs", &format!("use staticnet::op::Op as DeviceOp; fn f() {{ {body} }}"))])).len()
    }

    #[test]
    fn default_answers_are_found() {
        for body in [
            "match op { Op::Conv(_) => 1, _ => 0 };",
            "match op { Op::Conv(_) => 1, other => f(other) };",
            "match op { op::Op::Conv(_) | Op::Relu => 1, other @ (Op::Lrn(_) | _) => 0 };",
            "match op { DeviceOp::Relu => 1, _ => 0 };",
            "match &op { &Op::Relu => 1, _ => 0 };",
            "match op { Op::Relu if x => 1, _ if y => 0, Op::Lrn(_) => 2 };",
            "match code { Some(OpCode::Relu) => 1, Some(_) => 2, None => 0 };",
            "match code { Some(OpCode::Relu) => 1, _ => 0 };",
            "match op { Op::Unary(Function::Tanh) => 1, Op::Unary(_) => 2, Op::Relu => 3 };",
            "match (a, b) { (Op::Relu, 1) => 1, (_, 2) => 2, (Op::Lrn(_), _) => 3 };",
            "match (a, b) { (Op::Relu, Op::Relu) => 1, (Op::Lrn(_), Op::Lrn(_)) => 2, _ => 3 };",
            "match (a, b, c) { (1, .., Op::Relu) => 1, (.., _) => 2 };",
            "match layer { Layer { op: Op::Relu, .. } => 1, Layer { clamp, .. } => 2 };",
            "match layer { Layer { op: Op::Relu, .. } => 1, Layer { op, .. } => 2 };",
            "match layers { [Op::Relu, ..] => 1, [..] => 2 };",
            "match kind { BinaryOp::Add => 1, _ => 0 };",
            "match target { Target::Portable => 1, _ => 0 };",
            "matches!(op, Op::Relu);",
            "matches!(layer.op, DeviceOp::Conv(_) | Op::Relu if x > 1);",
            "assert!(x && !matches!(op, Op::Relu), \"{}\", 1);",
            "let _ = vec![matches!(op, Op::Relu); 3];",
            "macro_rules! m { ($x:pat) => { matches!(op, Op::Relu | $x) } }",
            "if let Op::Relu = op { 1 } else { 2 };",
            "if x && let Some(Op::Conv(c)) = op && c.y { 1 } else if z { 2 };",
            "let Op::Conv(c) = op else { return false };",
            "let Op::Conv(c) = op else { panic!(\"{op}\") };",
            "let Op::Conv(c) = op else { log(); return None };",
            "use Op::Relu;",
            "use staticnet::op::Op::*;",
            "let f = |op| match op { Op::Relu => 1, _ => 0 };",
            "#[expect(clippy::wildcard_enum_match_arm)] match op { Op::Relu => 1, _ => 0 };",
            "match op { #[expect(clippy::wildcard_enum_match_arm, reason = \"r\")] Op::Relu => 1, _ => 0 };",
        ] {
            assert_eq!(count(body), 1, "{body}");
        }
        let text = "impl Op { fn f(self) { match self { Self::Relu => 1, _ => 2 } } } impl Other { fn g(self) { match self { Self::Relu => 1, _ => 2 } } }";
        let found = find(&tree(&[("src/lib.rs", text)]));
        assert_eq!(found.iter().map(|found| (&found.function[..], found.line)).collect::<Vec<_>>(), [("f", 1)]);
    }

    #[test]
    fn what_answers_by_name_is_clean() {
        for body in [
            "match op { Op::Conv(_) => 1, Op::Relu => 0 };",
            "match op { Op::Conv(conv) | Op::Depthwise(conv) if conv.x => 1, Op::Conv(_) | Op::Depthwise(_) => 2 };",
            "match code { Some(OpCode::Relu) => 1, None => 0 };",
            "match text { \"Relu\" => Some(Op::Relu), _ => None };",
            "match code { 1 => OpCode::Relu, 2 => OpCode::Lrn, _ => return None };",
            "match x { Some(y) => y, _ => 0 }; match dtype { DType::I8 => 1, _ => 0 };",
            "match (a, b) { (Op::Relu, _) => 1, (Op::Lrn(_), x) => 2 };",
            "match result { Ok(Op::Relu) => 1, Ok(Op::Lrn(_)) => 2, Err(_) => 3 };",
            "match layer { Layer { op: Op::Relu, clamp: _ } => 1, Layer { op: Op::Lrn(_), .. } => 2 };",
            "match (a, b, c) { (1, .., Op::Relu) => 1, (_, .., Op::Lrn(_)) => 2 };",
            "match op { whole @ (Op::Relu | Op::Lrn(_)) => f(whole) };",
            "matches!(x, Some(_)); matches!(f(), Other::Relu);",
            "if let Op::Relu = op { 1 }; if let Some(x) = y { 1 } else { 2 };",
            "let Op::Conv(c) = op else { continue };",
            "let Op::Conv(c) = op else { return None }; let Op::Conv(c) = op else { return };",
            "let Op::Conv(c) = op else { return Ok(()) }; let Op::Conv(c) = op else { return Ok(None) };",
            "let Some(x) = y else { return false };",
            "use staticnet::op::{Op, OpCode};",
            "#[expect(clippy::wildcard_enum_match_arm, reason = \"r\")] match op { Op::Relu => 1, _ => 0 };",
            "match op { Op::Relu => 1, #[allow(clippy::wildcard_enum_match_arm, reason = \"r\")] _ => 0 };",
        ] {
            assert_eq!(count(body), 0, "{body}");
        }
        let text = "#[cfg(test)] mod tests { fn f() { matches!(op, Op::Relu); } } impl A { #[cfg(test)] fn f() { matches!(op, Op::Relu); } }";
        assert!(find(&tree(&[("src/lib.rs", text)])).is_empty());
    }

    #[test]
    fn findings_say_where_and_what() {
        let found = find(&tree(&[("src/lib.rs", "fn outer() {\n    let a = 1;\n    matches!(op, Op::Relu)\n}")]));
        assert_eq!((found[0].line, &found[0].function[..]), (3, "outer"));
        assert!(found[0].what.contains("`matches!` over Op"), "{}", found[0].what);
    }
}
