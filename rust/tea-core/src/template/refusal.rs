//! Refuses what minijinja's parser takes and the template language does not have.

use crate::errors::Error;

pub(super) fn refused<T>(what: &str) -> Result<T, Error> {
    Err(Error::template(format!("{what} is not part of the template language")))
}

pub(super) fn refuse_reserved(name: &str) -> Result<(), Error> {
    match name {
        "self" => Err(Error::template("there is no name \"self\" here")),
        "range" => Err(Error::template("range is not a value").hint("call it: range(3)")),
        _ => Ok(()),
    }
}
