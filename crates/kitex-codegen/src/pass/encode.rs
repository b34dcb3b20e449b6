//! Encoders compile for all that they are written for. Owns what the pinned pilota-build gets wrong there: a
//! uuid in a container or typedef is written by reference, and its writer takes a value.

use syn::{
    Expr, ExprMethodCall, ImplItemFn, parse_quote,
    visit_mut::{self, VisitMut},
};

pub(super) fn encode(function: &mut ImplItemFn) {
    Uuids.visit_block_mut(&mut function.block);
}

struct Uuids;

impl VisitMut for Uuids {
    fn visit_expr_method_call_mut(&mut self, call: &mut ExprMethodCall) {
        visit_mut::visit_expr_method_call_mut(self, call);
        if call.method == "write_uuid"
            && let Some(value) = call.args.first_mut()
            && !matches!(value, Expr::Unary(_))
        {
            *value = parse_quote!(*#value);
        }
    }
}
