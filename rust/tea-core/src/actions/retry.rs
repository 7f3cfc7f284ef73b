//! `retry.loop`: checks something, and has a node correct it as long as it is wrong.

use std::rc::Rc;

use super::{refuse, Action, ActionSpec, Call, Check, LocalFuture, Registry, Target, TargetKind};
use crate::errors::{Error, Kind};
use crate::spec::ACTIONS;
use crate::value::{Map, Value};

const NAME: &str = "retry.loop";
/// Where `max_retries` is not given.
const MAX_RETRIES: i128 = 1;

/// Add the action.
pub(super) fn add_action(registry: &mut Registry) {
    let Some((_, row)) = ACTIONS.iter().find(|(action, _)| *action == NAME) else { return };
    let check: Check = Rc::new(|values| row.problems(values));
    let action = Rc::new(Retry { check: check.clone() });
    let (params, required) = (row.names, row.required);
    registry.add(NAME, ActionSpec { action, params, required, check: Some(check) });
    registry.add_targets(NAME, targets);
    registry.add_late(NAME, "validate_args");
}

struct Retry {
    check: Check,
}

impl Action for Retry {
    fn run<'a>(&'a self, call: Call<'a>) -> LocalFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            refuse((self.check)(call.params))?;
            let limit = call.param("max_retries").as_int().unwrap_or(MAX_RETRIES);
            let mut written = Map::new();
            let mut count = 0;
            loop {
                let (result, errors) = check(&call, &written).await?;
                let is_wrong = errors.is_some();
                let mut ended = Map::new();
                ended.insert("_retry_count".into(), Value::Int(count));
                ended.insert("_retry_errors".into(), Value::list(errors.unwrap_or_default()));
                ended.insert("_retry_result".into(), result);
                if !is_wrong || count == limit {
                    ended.insert("_retry_exhausted".into(), is_wrong.into());
                    written.extend(ended);
                    return Ok(Value::map(written));
                }
                let delay = call.param("retry_delay").as_number().filter(|delay| *delay > 0.0);
                if let Some(delay) = delay {
                    call.nested.sleep(delay).await;
                }
                count += 1;
                let mut over = written.clone();
                over.extend(ended);
                over.insert("_retry_count".into(), Value::Int(count));
                written.extend(call.nested.node(call.text("correct")?, over).await?);
            }
        })
    }
}

/// What the check gave, and what is wrong; None where nothing is.
async fn check(call: &Call<'_>, written: &Map) -> Result<(Value, Option<Vec<Value>>), Error> {
    let given = call.nested.late("validate_args", written)?;
    let given = given.as_map().cloned().unwrap_or_default();
    let result = match call.nested.action(call.text("validate")?, &given).await {
        Ok(result) => result,
        Err(error) if error.kind == Kind::Interrupted => return Err(error),
        Err(error) => {
            let wrong = Value::record([("message", Value::text(error.message))]);
            return Ok((Value::Null, Some(vec![wrong])));
        }
    };
    let valid = result.as_map().and_then(|map| map.get("valid")).is_none_or(Value::is_true);
    let errors = result.as_map().and_then(|map| map.get("errors")).and_then(Value::as_list);
    let errors = (!valid).then(|| errors.unwrap_or_default().to_vec());
    Ok((result, errors))
}

fn targets(params: &Map) -> Vec<Target> {
    let keys = [("validate", TargetKind::Action), ("correct", TargetKind::Node)];
    let target = |(key, kind): (&'static str, TargetKind)| {
        let name = params.get(key)?.as_text()?.to_string();
        Some(Target { key, called: key.into(), kind, name })
    };
    keys.into_iter().filter_map(target).collect()
}
