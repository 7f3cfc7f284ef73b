//! Branches of a run: so many at a time, their results in order.

use std::future::poll_fn;
use std::task::Poll;

use super::{error_data, Fault, Outcome, Run};
use crate::actions::LocalFuture;
use crate::errors::{Error, Failure, Kind};
use crate::spec;
use crate::template::ValueTree;
use crate::value::{Map, Value};
use crate::workflow::branches::{as_concurrency, concurrency, RESULTS};
use crate::workflow::model::{Each, Entries, Fork, Node, Workflow};

impl<'w> Run<'w> {
    /// Run the branches of parallel edges; what came of them is `parallel_results`.
    pub(super) async fn fork(
        &self,
        node: &Node,
        fork: &Fork,
        state: &mut Map,
    ) -> Result<(), Fault> {
        let scope = self.scope(state);
        let mut firsts = Vec::new();
        for rule in &fork.branches {
            let holds = rule.condition.as_ref().map_or(Ok(true), |each| each.holds(&scope));
            if holds.map_err(|error| Fault::Node(self.failed(&node.name, "", error)))? {
                firsts.push(rule.to.as_str());
            }
        }
        let parent = &*state;
        let results = run_all(firsts.len(), firsts.len(), |index| {
            let first = firsts[index];
            Box::pin(async move {
                let mut own = parent.clone();
                let run = self.branch(index, Vec::new());
                let ended = run.follow(first.into(), &fork.fan_in.to, &mut own).await;
                result(index, own, first, ended)
            })
        });
        let results = results.await?;
        state.insert(RESULTS.into(), Value::list(results));
        Ok(())
    }

    /// This run as a branch of it sees it: the same but for names and events.
    fn branch(&self, index: usize, names: Vec<(String, Value)>) -> Run<'w> {
        let mut run = self.clone();
        run.index = Some(index);
        run.names.extend(names);
        run
    }

    /// Run the steps for each item.
    pub(super) async fn each(
        &self,
        node: &Node,
        each: &Each,
        state: &Map,
    ) -> Result<Outcome, Fault> {
        let given = self.each_of(each, state);
        let (items, limit) = given
            .map_err(|error| Fault::Node(self.failed(&node.name, "dynamic_parallel", error)))?;
        let items = items.as_list().unwrap_or_default();
        let results = run_all(items.len(), limit, |index| {
            Box::pin(async move {
                let number = Value::Int(index as i128);
                let names = [(&each.item_var, items[index].clone()), (&each.index_var, number)];
                let names: Vec<_> =
                    names.into_iter().map(|(name, value)| (name.clone(), value)).collect();
                let mut own = state.clone();
                own.extend(names.iter().map(|(name, value)| (name.as_str().into(), value.clone())));
                let run = self.branch(index, names.clone());
                let done = match &each.subgraph {
                    Some(workflow) => run.subgraph(node, workflow, &each.input, &own).await,
                    None => run.steps(node, &each.steps, &own).await,
                };
                if each.subgraph.is_some() {
                    let begun =
                        names.iter().map(|(name, value)| (name.as_str().into(), value.clone()));
                    own = begun.collect();
                }
                let ended = match done {
                    Ok(outcome) => {
                        own.extend(outcome.update.clone());
                        run.completed(node, outcome.update);
                        Ok(())
                    }
                    Err(Fault::Node(failure)) if each.fail_fast => {
                        return Err(Fault::Node(failure))
                    }
                    Err(fault) => Err(fault),
                };
                result(index, own, &node.name, ended)
            })
        });
        let results = Value::list(results.await?);
        let update = [(each.output.clone(), results.clone()), (RESULTS.into(), results.clone())];
        Ok(Outcome { update: Map::from_iter(update), result: results, jump: None })
    }

    /// Run a subgraph, which sees its input alone; settings that it does not give are ours.
    async fn subgraph(
        &self,
        node: &Node,
        workflow: &Workflow,
        input: &Entries,
        state: &Map,
    ) -> Result<Outcome, Fault> {
        let given = ValueTree::render_entries(input, &self.scope(state));
        let begun = given.and_then(|given| self.inner(workflow, given));
        let (inner, mut own) =
            begun.map_err(|error| Fault::Node(self.failed(&node.name, "subgraph", error)))?;
        inner.walk(&mut own).await?;
        Ok(Outcome { update: own, result: Value::Null, jump: None })
    }

    /// The items, and how many branches may run at a time.
    fn each_of(&self, each: &Each, state: &Map) -> Result<(Value, usize), Error> {
        let scope = self.scope(state);
        let items = each.items.render(&scope)?.to_data(Some(&*self.masker))?;
        if items.as_list().is_none() {
            let message = format!("items: expected a list, got {}", items.describe());
            return Err(Error::action(message));
        }
        let limit = each.max_concurrency.as_ref().map(|limit| limit.render(&scope)).transpose()?;
        let limit = match limit.filter(|limit| !limit.is_null()) {
            Some(limit) => as_concurrency(&limit).ok_or_else(|| {
                Error::action(format!("max_concurrency: expected {}", concurrency()))
            })?,
            None => spec::NODE_MAX_CONCURRENCY as usize,
        };
        Ok((items, limit))
    }
}

/// The entry of a branch in `parallel_results`; what stops the run as a whole is none.
fn result(
    index: usize,
    state: Map,
    source_node: &str,
    ended: Result<(), Fault>,
) -> Result<Value, Fault> {
    let error = match ended {
        Ok(()) => Value::Null,
        Err(Fault::Node(failure)) if !is_interrupted(&failure) => Value::map(error_data(&failure)),
        Err(fault) => return Err(fault),
    };
    Ok(Value::record([
        ("index", Value::Int(index as i128)),
        ("state", Value::map(state)),
        ("source_node", Value::text(source_node)),
        ("success", error.is_null().into()),
        ("error", error),
    ]))
}

fn is_interrupted(failure: &Failure) -> bool {
    failure.cause.kind == Kind::Interrupted
}

/// What `run` gives for 0 to `count`, at most `limit` of them at a time. The first failure ends
/// the others.
async fn run_all<'a, T>(
    count: usize,
    limit: usize,
    run: impl Fn(usize) -> LocalFuture<'a, Result<T, Fault>>,
) -> Result<Vec<T>, Fault> {
    let mut next = 0;
    let mut running: Vec<(usize, LocalFuture<'a, Result<T, Fault>>)> = Vec::new();
    let mut results: Vec<Option<T>> = std::iter::repeat_with(|| None).take(count).collect();
    let all = poll_fn(|context| loop {
        while running.len() < limit && next < count {
            running.push((next, run(next)));
            next += 1;
        }
        let before = running.len();
        let mut failed = None;
        running.retain_mut(|(number, work)| match work.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(done) => {
                match done {
                    Ok(value) => results[*number] = Some(value),
                    Err(fault) => failed = failed.take().or(Some(fault)),
                }
                false
            }
        });
        if let Some(fault) = failed {
            return Poll::Ready(Err(fault));
        }
        if running.is_empty() && next == count {
            return Poll::Ready(Ok(()));
        }
        if running.len() == before {
            return Poll::Pending;
        }
    });
    all.await?;
    Ok(results.into_iter().flatten().collect())
}
