//! What the readers of nodes and of their bodies share.

use crate::actions::Registry;
use crate::workflow::diagnostics::Diagnostics;
use crate::workflow::subgraphs::Load;

/// What is read for: what is wrong goes to the diagnostics.
pub(crate) struct Context<'a> {
    pub diagnostics: &'a mut Diagnostics,
    pub actions: &'a Registry,
    pub engine: &'a str,
    /// The names of templates; in branches also those of the item.
    pub scopes: &'a [&'a str],
    /// Loads subgraphs.
    pub subgraph: &'a Load<'a>,
}
