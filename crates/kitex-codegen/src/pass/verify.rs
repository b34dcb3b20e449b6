//! Looks at the result for whatever the pass should have taken away. Owns the list of what must not be left,
//! so that a changed pilota-build is noticed where the code is made and not where it is attacked.

use syn::{
    Arm, Expr, ExprCall, ExprMethodCall, ExprUnsafe, ImplItemFn, ItemMod, Pat, Path,
    visit::{self, Visit},
};

use super::Counts;

/// What is left over, if anything is.
pub(super) fn module(module: &ItemMod, counts: &Counts) -> Result<(), String> {
    let mut leftovers = Leftovers { found: None, in_decoder: false };
    leftovers.visit_item_mod(module);
    match leftovers.found {
        Some(found) => Err(found),
        None if counts.paths == 0 && counts.messages > 0 => Err("no path to pilota was found".to_owned()),
        None => Ok(()),
    }
}

struct Leftovers {
    found: Option<String>,
    in_decoder: bool,
}

impl Leftovers {
    fn report(&mut self, what: impl Into<String>) {
        self.found.get_or_insert(what.into());
    }
}

/// What reads or reserves a container other than through the facade.
const UNBOUNDED: [&str; 8] = [
    "read_list_begin",
    "read_set_begin",
    "read_map_begin",
    "with_capacity",
    "reserve",
    "set_len",
    "as_mut_ptr",
    "get_bytes",
];

impl<'a> Visit<'a> for Leftovers {
    fn visit_impl_item_fn(&mut self, function: &'a ImplItemFn) {
        self.in_decoder = function.sig.ident == "decode";
        visit::visit_impl_item_fn(self, function);
        self.in_decoder = false;
    }

    fn visit_arm(&mut self, arm: &'a Arm) {
        let is_field =
            matches!(&arm.pat, Pat::TupleStruct(some) if !matches!(some.elems.first(), Some(Pat::Ident(_))));
        if self.in_decoder && is_field && arm.guard.is_none() {
            self.report("a field is read whatever its type");
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_unsafe(&mut self, _: &'a ExprUnsafe) {
        self.report("an unsafe block is left");
    }

    fn visit_expr_await(&mut self, expr: &'a syn::ExprAwait) {
        // Services await too, but never a protocol.
        if is_protocol(&expr.base) {
            self.report("an async decoder is left");
        }
        visit::visit_expr_await(self, expr);
    }

    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        if self.in_decoder && UNBOUNDED.contains(&call.method.to_string().as_str()) {
            self.report(format!("a decoder calls {}", call.method));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        let name = match &*call.func {
            Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        // The default of a map is written with room for what it has.
        let by_default = matches!(call.args.first(), Some(Expr::Lit(_)));
        if let Some(name) =
            name.filter(|name| self.in_decoder && UNBOUNDED.contains(&name.as_str()) && !by_default)
        {
            self.report(format!("a decoder calls {name}"));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_path(&mut self, path: &'a Path) {
        if path.leading_colon.is_some() && path.segments.first().is_some_and(|first| first.ident == "pilota")
        {
            self.report("a path to pilota is left");
        }
        visit::visit_path(self, path);
    }
}

fn is_protocol(expr: &Expr) -> bool {
    match expr {
        Expr::MethodCall(call) => *call.receiver == syn::parse_quote!(__protocol),
        Expr::Call(call) => call.args.iter().any(|argument| *argument == syn::parse_quote!(__protocol)),
        _ => false,
    }
}
