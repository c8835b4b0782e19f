//! Which names a script declares, where, and what kinds of value each can hold.
//!
//! A name is resolved only where it certainly is declared. A function declared in a block counts inside that block alone,
//! although sloppy mode also shows it outside; the walk takes no script with such a function for warm.

use std::collections::BTreeMap;

use crate::script::tree::{DeclareKind, EachTarget, Pattern, Stmt, StmtKind};

/// How often facts are carried along assignments; longer chains prove nothing.
const MAX_ROUNDS: usize = 64;

/// Number of one declared variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BindingId(usize);

/// What every assignment to one variable allows to say about its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holds {
    /// Only functions of this script, or nothing yet.
    pub(super) own_functions: bool,
    /// Only values without identity and objects this run made, or nothing yet.
    pub(super) own_values: bool,
    /// Only numbers, or nothing yet.
    pub(super) numbers: bool,
    /// No function was ever assigned; a function may still come in where `own_values` is false.
    pub(super) no_function: bool,
    /// Never what a computed name, a built-in's name or a criterion answered, any of which may be a built-in function.
    pub(super) named: bool,
}

impl Holds {
    /// Nothing is known, as of a parameter.
    pub(super) const ANYTHING: Self =
        Self { own_functions: false, own_values: false, numbers: false, no_function: true, named: true };
    /// What a computed name answered.
    pub(super) const LOOKED_UP: Self = Self { named: false, ..Self::ANYTHING };
    /// Nothing was assigned yet.
    pub(super) const NOTHING: Self =
        Self { own_functions: true, own_values: true, numbers: true, no_function: true, named: true };
    /// A function of this script.
    pub(super) const OWN_FUNCTION: Self =
        Self { own_functions: true, own_values: false, numbers: false, no_function: false, named: true };
    /// A value without identity, or an object this run made, and no function.
    pub(super) const OWN_VALUE: Self =
        Self { own_functions: false, own_values: true, numbers: false, no_function: true, named: true };
    /// A number.
    pub(super) const NUMBER: Self =
        Self { own_functions: false, own_values: true, numbers: true, no_function: true, named: true };

    /// Not even that no function was assigned.
    pub(super) const UNSETTLED: Self =
        Self { own_functions: false, own_values: false, numbers: false, no_function: false, named: false };

    /// What holds for both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            own_functions: self.own_functions && other.own_functions,
            own_values: self.own_values && other.own_values,
            numbers: self.numbers && other.numbers,
            no_function: self.no_function && other.no_function,
            named: self.named && other.named,
        }
    }
}

/// The scopes around the place the walk has reached.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    open: Vec<BTreeMap<Box<str>, BindingId>>,
    bindings: Vec<Holds>,
    copies: Vec<(BindingId, BindingId)>,
    sums: Vec<(BindingId, BindingId)>,
    keyed: Vec<(BindingId, BindingId)>,
}

impl Scopes {
    /// Opens a scope inside the current one.
    pub(super) fn enter(&mut self) {
        self.open.push(BTreeMap::new());
    }

    /// Closes the innermost scope; its variables stay known by number.
    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    /// The variable `name` means here.
    pub(super) fn resolve(&self, name: &str) -> Option<BindingId> {
        self.open.iter().rev().find_map(|scope| scope.get(name).copied())
    }

    /// Declares `name` in the innermost scope; declared twice it stays one variable.
    pub(super) fn declare(&mut self, name: &str, holds: Holds) -> BindingId {
        let known = self.open.last().and_then(|scope| scope.get(name).copied());
        if let Some(id) = known {
            self.assign(id, holds);
            return id;
        }
        let id = BindingId(self.bindings.len());
        self.bindings.push(holds);
        if let Some(scope) = self.open.last_mut() {
            scope.insert(name.into(), id);
        }
        id
    }

    /// Narrows what `id` holds by one more value.
    pub(super) fn assign(&mut self, id: BindingId, value: Holds) {
        if let Some(holds) = self.bindings.get_mut(id.0) {
            *holds = holds.and(value);
        }
    }

    /// Notes that `target` was assigned what `source` holds, whatever that turns out to be.
    pub(super) fn copy(&mut self, target: BindingId, source: BindingId) {
        self.copies.push((target, source));
    }

    /// Notes that `target` is a number only where `source` is one.
    pub(super) fn sum(&mut self, target: BindingId, source: BindingId) {
        self.sums.push((target, source));
    }

    /// Notes that `target` was assigned what stands under the computed name in `key`.
    pub(super) fn element(&mut self, target: BindingId, key: BindingId) {
        self.keyed.push((target, key));
    }

    /// The variables that were assigned from `source`, or it from them.
    pub(super) fn copies(&self) -> &[(BindingId, BindingId)] {
        &self.copies
    }

    /// A variable without a name, for what is not kept in one.
    pub(super) fn unnamed(&mut self) -> BindingId {
        let id = BindingId(self.bindings.len());
        self.bindings.push(Holds::NOTHING);
        id
    }

    /// Carries what was learned of variables to those that were assigned from them.
    pub(super) fn settle(&mut self) {
        let (copies, sums) = (std::mem::take(&mut self.copies), std::mem::take(&mut self.sums));
        let keyed = std::mem::take(&mut self.keyed);
        for _ in 0..MAX_ROUNDS {
            let before = self.bindings.clone();
            for (target, source) in &copies {
                self.assign(*target, self.holds(*source));
            }
            for (target, source) in &sums {
                let numbers = self.holds(*source).numbers;
                self.assign(*target, Holds { numbers, ..Holds::NOTHING });
            }
            for (target, key) in &keyed {
                let named = self.holds(*key).numbers;
                self.assign(*target, Holds { named, ..Holds::NOTHING });
            }
            if self.bindings == before {
                return;
            }
        }
        self.bindings.iter_mut().for_each(|holds| *holds = Holds::UNSETTLED);
    }

    /// What `id` holds after all assignments seen so far.
    pub(super) fn holds(&self, id: BindingId) -> Holds {
        self.bindings.get(id.0).copied().unwrap_or(Holds::ANYTHING)
    }

    /// Declares what a list of statements declares for itself: `let`, `const` and functions.
    pub(super) fn declare_lexical(&mut self, body: &[Stmt]) {
        for stmt in body {
            match &stmt.kind {
                StmtKind::Declare(DeclareKind::Let | DeclareKind::Const, list) => {
                    for item in list {
                        self.declare_pattern(&item.target, Holds::NOTHING);
                    }
                }
                StmtKind::Function(function) => {
                    if let Some(name) = &function.name {
                        self.declare(name, Holds::OWN_FUNCTION);
                    }
                }
                _ => {}
            }
        }
    }

    /// Declares every `var` of a function body; one that names a parameter is that parameter.
    pub(super) fn declare_vars(&mut self, body: &[Stmt], params: &BTreeMap<Box<str>, BindingId>) {
        for stmt in body {
            self.declare_vars_in(stmt, params);
        }
    }

    /// The innermost scope's names.
    pub(super) fn innermost(&self) -> BTreeMap<Box<str>, BindingId> {
        self.open.last().cloned().unwrap_or_default()
    }

    /// Declares every name of a pattern; `holds` is for a plain name, parts of a value can be anything.
    pub(super) fn declare_pattern(&mut self, pattern: &Pattern, holds: Holds) {
        if let Pattern::Name(name) = pattern {
            self.declare(name, holds);
            return;
        }
        let mut names = Vec::new();
        pattern_names(pattern, &mut names);
        for name in names {
            self.declare(name, Holds::ANYTHING);
        }
    }

    fn declare_var(&mut self, pattern: &Pattern, params: &BTreeMap<Box<str>, BindingId>) {
        let holds = if matches!(pattern, Pattern::Name(_)) { Holds::NOTHING } else { Holds::ANYTHING };
        let mut names = Vec::new();
        pattern_names(pattern, &mut names);
        for name in names {
            match params.get(name) {
                Some(id) => self.assign(*id, holds),
                None => {
                    self.declare(name, holds);
                }
            }
        }
    }

    fn declare_vars_in(&mut self, stmt: &Stmt, params: &BTreeMap<Box<str>, BindingId>) {
        match &stmt.kind {
            StmtKind::Declare(DeclareKind::Var, list) => {
                for item in list {
                    self.declare_var(&item.target, params);
                }
            }
            StmtKind::If { then, otherwise, .. } => {
                self.declare_vars_in(then, params);
                if let Some(otherwise) = otherwise {
                    self.declare_vars_in(otherwise, params);
                }
            }
            StmtKind::While { body, .. } | StmtKind::DoWhile { body, .. } | StmtKind::Labelled(_, body) => {
                self.declare_vars_in(body, params);
            }
            StmtKind::For { init, body, .. } => {
                if let Some(init) = init {
                    self.declare_vars_in(init, params);
                }
                self.declare_vars_in(body, params);
            }
            StmtKind::ForEach { target, body, .. } => {
                if let EachTarget::Declare(DeclareKind::Var, pattern) = target {
                    self.declare_var(pattern, params);
                }
                self.declare_vars_in(body, params);
            }
            StmtKind::Block(body) => self.declare_vars(body, params),
            StmtKind::Switch { cases, .. } => cases.iter().for_each(|case| self.declare_vars(&case.body, params)),
            StmtKind::Try { block, handler, finalizer, .. } => {
                self.declare_vars(block, params);
                self.declare_vars(handler.as_deref().unwrap_or_default(), params);
                self.declare_vars(finalizer.as_deref().unwrap_or_default(), params);
            }
            StmtKind::Empty
            | StmtKind::Expr(_)
            | StmtKind::Declare(DeclareKind::Let | DeclareKind::Const, _)
            | StmtKind::Function(_)
            | StmtKind::Return(_)
            | StmtKind::Throw(_)
            | StmtKind::Break(_)
            | StmtKind::Continue(_)
            | StmtKind::Opaque => {}
        }
    }
}

/// Every name a pattern binds.
pub(super) fn pattern_names<'a>(pattern: &'a Pattern, names: &mut Vec<&'a str>) {
    match pattern {
        Pattern::Name(name) => names.push(name),
        Pattern::Object(parts) => parts.iter().for_each(|part| pattern_names(&part.target, names)),
        Pattern::Array(parts) => {
            parts.iter().filter_map(|part| part.target.as_ref()).for_each(|target| pattern_names(target, names))
        }
        Pattern::Opaque => {}
    }
}
