//! Paths to pilota become paths to the facade's re-export, so that users need no pilota of their own. On
//! paths, never on text: a namespace or a string may hold the same word.

use proc_macro2::{Ident, Span};
use quote::ToTokens;
use syn::{
    Expr, ItemMod, ItemUse, Macro, Path, PathSegment, Token, UsePath, UseTree,
    parse::Parser,
    punctuated::Punctuated,
    visit_mut::{self, VisitMut},
};

use super::Counts;

const LIBRARY: &str = "pilota";
const FACADE: &str = "kitex";

pub(super) fn module(module: &mut ItemMod, counts: &mut Counts) {
    let mut paths = Paths { met: 0 };
    paths.visit_item_mod_mut(module);
    counts.paths += paths.met;
}

struct Paths {
    met: usize,
}

impl VisitMut for Paths {
    fn visit_path_mut(&mut self, path: &mut Path) {
        if path.leading_colon.is_some() && path.segments.first().is_some_and(|first| first.ident == LIBRARY) {
            path.segments.insert(0, PathSegment::from(facade()));
            self.met += 1;
        }
        visit_mut::visit_path_mut(self, path);
    }

    fn visit_item_use_mut(&mut self, item: &mut ItemUse) {
        if let UseTree::Path(first) = &item.tree
            && item.leading_colon.is_some()
            && first.ident == LIBRARY
        {
            let tree = Box::new(item.tree.clone());
            item.tree =
                UseTree::Path(UsePath { ident: facade(), colon2_token: Token![::](Span::call_site()), tree });
            self.met += 1;
        }
    }

    /// What a macro gets is tokens to syn; here they are always expressions.
    fn visit_macro_mut(&mut self, m: &mut Macro) {
        self.visit_path_mut(&mut m.path);
        in_macro(m, |arguments| arguments.iter_mut().for_each(|argument| self.visit_expr_mut(argument)));
    }
}

/// Changes a macro's arguments if they are expressions.
pub(super) fn in_macro(m: &mut Macro, change: impl FnOnce(&mut Punctuated<Expr, Token![,]>)) {
    if let Ok(mut arguments) = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(m.tokens.clone()) {
        change(&mut arguments);
        m.tokens = arguments.to_token_stream();
    }
}

fn facade() -> Ident {
    Ident::new(FACADE, Span::call_site())
}
