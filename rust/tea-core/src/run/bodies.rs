//! What a node does: its steps one after another, or its loop.

use std::cell::RefCell;
use std::sync::Arc;

use super::{Fault, Outcome, Run};
use crate::actions::{Call, LocalFuture, Nested};
use crate::errors::{Error, Failure};
use crate::redact::StreamMask;
use crate::run::events::Event;
use crate::suggest::nearest;
use crate::template::ValueTree;
use crate::value::{Map, Value};
use crate::workflow::condition::Condition;
use crate::workflow::model::{Body, ExpressionValue, Node, Output, Step};

impl Run<'_> {
    pub(super) async fn execute(&self, node: &Node, state: &Map) -> Result<Outcome, Fault> {
        match &node.body {
            Body::None => self.steps(node, &[], state).await,
            Body::Steps(steps) => self.steps(node, steps, state).await,
            Body::Each(each) => self.each(node, each, state).await,
            Body::Loop { .. } => self.while_loop(node, state.clone()).await,
        }
    }

    pub(super) async fn steps(
        &self,
        node: &Node,
        steps: &[Step],
        state: &Map,
    ) -> Result<Outcome, Fault> {
        let mut current = state.clone();
        let mut outcome = Outcome { update: Map::new(), result: Value::Null, jump: None };
        for step in steps {
            let (update, result) = self.step(node, step, &current).await.map_err(|error| {
                let action = match step {
                    Step::Action { action, .. } => action,
                    Step::Expression { .. } => "run",
                };
                match self.stopped.borrow_mut().take() {
                    Some(failure) => Fault::Run(failure),
                    None => Fault::Node(self.failed(&node.name, action, error)),
                }
            })?;
            current.extend(update.clone());
            outcome.update.extend(update);
            outcome.result = result;
        }
        Ok(outcome)
    }

    async fn step(&self, node: &Node, step: &Step, state: &Map) -> Result<(Map, Value), Error> {
        let scope = self.scope(state);
        match step {
            Step::Action { action, params, output, .. } => {
                let late = self.actions.late(action);
                let is_late = |key: &str| late == Some(key);
                let now = params.iter().filter(|(key, _)| !is_late(key));
                let late = params.iter().find(|(key, _)| is_late(key));
                let params = ValueTree::render_entries(now, &scope)?;
                let result = self.call(node, action, &params, late, state).await?;
                let update = match output {
                    Output::Key(key) => Map::from_iter([(key.clone(), result.clone())]),
                    Output::Map(entries) => {
                        ValueTree::render_entries(entries, &scope.with_result(&result))?
                    }
                    Output::Merged => match &result {
                        Value::Map(map) => (**map).clone(),
                        other => Map::from_iter([("result".into(), other.clone())]),
                    },
                };
                Ok((self.clean(update)?, result))
            }
            Step::Expression { value, output_key } => {
                let value = match value {
                    ExpressionValue::Fixed(value) => value.clone(),
                    ExpressionValue::Template(template) => template.render(&scope)?,
                };
                let update = Map::from_iter([(output_key.clone(), value.clone())]);
                Ok((self.clean(update)?, value))
            }
        }
    }

    async fn call(
        &self,
        node: &Node,
        action: &str,
        params: &Map,
        late: Option<&(Arc<str>, ValueTree)>,
        state: &Map,
    ) -> Result<Value, Error> {
        let Some(spec) = self.actions.get(action) else {
            return Err(Error::action(format!("there is no action {action}")));
        };
        let stream = RefCell::new(StreamMask::new(&self.masker));
        let token = |text: String| {
            if !text.is_empty() {
                self.emit(Event::Token { node: node.name.clone(), text });
            }
        };
        let emit = |event: Event| match event {
            Event::Token { text, .. } => token(stream.borrow_mut().feed(&text)),
            other => self.emit(other),
        };
        let result = spec
            .action
            .run(Call {
                node: &node.name,
                action,
                params,
                settings: &self.settings,
                emit: &emit,
                memory: &self.memory,
                nested: &OfNode { run: self, node, params, late, state },
            })
            .await;
        token(stream.borrow_mut().rest());
        result?.to_data(None)
    }

    async fn while_loop(&self, node: &Node, mut state: Map) -> Result<Outcome, Fault> {
        let mut outcome = Outcome { update: Map::new(), result: Value::Null, jump: None };
        let Body::Loop { condition, max_iterations, nodes, stops } = &node.body else {
            return Ok(outcome);
        };
        for _ in 0..*max_iterations {
            if !self.holds(node, condition, &state)? {
                return Ok(outcome);
            }
            for inner in nodes {
                let done = self.visit(inner, &state).await?;
                state.extend(done.update.clone());
                outcome.update.extend(done.update.clone());
                outcome.result = done.result;
                self.completed(inner, done.update);
                if done.jump.is_some() {
                    return Ok(Outcome { jump: done.jump, ..outcome });
                }
            }
        }
        if !stops && self.holds(node, condition, &state)? {
            let source = &condition.source;
            let error = Error::limit(format!(
                "the loop's condition still holds after {max_iterations} passes: {source}"
            ));
            return Err(Fault::Node(self.failed(&node.name, "while_loop", error)));
        }
        Ok(outcome)
    }

    fn holds(&self, node: &Node, condition: &Condition, state: &Map) -> Result<bool, Fault> {
        let judged = condition.holds(&self.scope(state));
        judged.map_err(|error| Fault::Node(self.failed(&node.name, "while_loop", error)))
    }
}

/// What an action of a node may run, on the node's state.
struct OfNode<'a> {
    run: &'a Run<'a>,
    node: &'a Node,
    params: &'a Map,
    late: Option<&'a (Arc<str>, ValueTree)>,
    state: &'a Map,
}

impl Nested for OfNode<'_> {
    fn action<'a>(
        &'a self,
        name: &'a str,
        params: &'a Map,
    ) -> LocalFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            self.run.actions.checked(name, params)?;
            if self.run.actions.targets(name).is_some() {
                let message = format!("an action cannot run {name}, which runs others itself");
                return Err(Error::action(message));
            }
            self.run.call(self.node, name, params, None, self.state).await
        })
    }

    fn late(&self, key: &str, over: &Map) -> Result<Value, Error> {
        let Some((name, tree)) = self.late else {
            return Ok(self.params.get(key).cloned().unwrap_or(Value::Null));
        };
        let mut state = self.state.clone();
        state.extend(over.clone());
        tree.render(&self.run.scope(&state)).map_err(|error| error.within(name))
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        self.run.host.sleep(seconds)
    }

    fn node<'a>(&'a self, name: &'a str, over: Map) -> LocalFuture<'a, Result<Map, Error>> {
        Box::pin(async move {
            let run = self.run;
            let Some(node) = run.nodes.get(name).copied() else {
                let hint = nearest(name, run.nodes.keys().copied());
                return Err(Error::action(format!("there is no node \"{name}\"")).hint(hint));
            };
            let mut state = self.state.clone();
            state.extend(run.clean(over)?);
            match run.visit(node, &state).await {
                Ok(outcome) => {
                    // Where it goes next does not count.
                    run.completed(node, outcome.update.clone());
                    Ok(outcome.update)
                }
                Err(Fault::Node(Failure { node, cause, .. })) => {
                    Err(Error { message: format!("node {node}: {}", cause.message), ..cause })
                }
                Err(Fault::Run(failure)) => {
                    let cause = failure.cause.clone();
                    *run.stopped.borrow_mut() = Some(failure);
                    Err(cause)
                }
            }
        })
    }
}
