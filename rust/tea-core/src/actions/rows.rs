//! Rows of data as the text of CSV files (RFC 4180) and of JSON Lines.
//!
//! Errors say what is wrong, and in which line or row.

use std::collections::HashSet;
use std::sync::Arc;

use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use indexmap::IndexSet;

use crate::limits::Budget;
use crate::schema::check::Problem;
use crate::value::{json, Map, Value};

// A row of its own after any text but one with a quote that is not closed. No delimiter is in it.
const END: &str = "§";

/// What is wrong with the parameter delimiter.
pub fn delimiter_problems(params: &Map) -> Vec<Problem> {
    let given = params.get("delimiter").and_then(Value::as_text);
    if given.is_none_or(|text| {
        text.len() == 1 && text.is_ascii() && !text.contains(['"', '\r', '\n', '\0'])
    }) {
        return Vec::new();
    }
    let message = "delimiter must be one ASCII character, no quote and no line break";
    vec![(vec![Arc::from("delimiter")], message.into())]
}

/// The `rows`: maps, and their `columns`, or lists where there is no header.
pub fn read_csv(text: &str, header: bool, delimiter: u8) -> Result<Value, String> {
    let text = format!("{}\n{END}", text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let records = reader.records().collect::<Result<Vec<_>, _>>();
    let mut records = records.map_err(|error| error.to_string())?;
    match records.pop() {
        Some(end) if end.len() == 1 && &end[0] == END => {}
        Some(record) => {
            return Err(format!("line {}: a quote is not closed", line(&text, &record)))
        }
        None => {}
    }
    if !header {
        let rows = records.iter().map(|record| Value::list(fields(record).collect())).collect();
        return Ok(Value::record([("rows", Value::list(rows))]));
    }
    let mut records = records.iter();
    let Some(first) = records.next() else {
        let none = || Value::list(Vec::new());
        return Ok(Value::record([("rows", none()), ("columns", none())]));
    };
    let mut seen = HashSet::new();
    if let Some(twice) = first.iter().find(|name| !seen.insert(*name)) {
        return Err(format!("line {}: the column \"{twice}\" is there twice", line(&text, first)));
    }
    let columns: Vec<Arc<str>> = first.iter().map(Arc::from).collect();
    let rows = records.map(|record| {
        if record.len() == columns.len() {
            return Ok(Value::map(columns.iter().cloned().zip(fields(record)).collect()));
        }
        let (has, wanted, line) = (record.len(), columns.len(), line(&text, record));
        Err(format!("line {line}: the row has {has} fields, the header has {wanted}"))
    });
    let rows = Value::list(rows.collect::<Result<_, _>>()?);
    Ok(Value::record([("rows", rows), ("columns", Value::list(fields(first).collect()))]))
}

fn fields(record: &StringRecord) -> impl Iterator<Item = Value> + '_ {
    record.iter().map(Value::text)
}

/// The line in which a record begins; its position is before the empty lines that it follows.
fn line(text: &str, record: &StringRecord) -> usize {
    let start = record.position().map_or(0, |position| position.byte());
    let start = usize::try_from(start).unwrap_or_default();
    let rest = text.get(start..).unwrap_or_default();
    let start = text.len() - rest.trim_start_matches(['\r', '\n']).len();
    let before = text.as_bytes().get(..start).unwrap_or_default();
    let ends = before.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => before.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    ends.count() + 1
}

/// Rows, all maps or all lists, as CSV.
pub fn csv_text(
    data: &[Value],
    columns: Option<&[Value]>,
    header: bool,
    delimiter: u8,
) -> Result<String, String> {
    let given: Option<IndexSet<&str>> =
        columns.map(|columns| columns.iter().filter_map(Value::as_text).collect());
    let maps: Option<Vec<&Map>> = data.iter().map(Value::as_map).collect();
    let lists: Option<Vec<&[Value]>> = data.iter().map(Value::as_list).collect();
    let (columns, records): (Option<IndexSet<&str>>, Vec<Vec<&Value>>) = match (maps, lists) {
        (Some(maps), _) => {
            let all = || maps.iter().flat_map(|row| row.keys()).map(AsRef::as_ref).collect();
            let columns = given.unwrap_or_else(all);
            let mut records = Vec::new();
            for row in maps {
                let value = |name: &&str| row.get(*name).unwrap_or(&Value::Null);
                records.push(columns.iter().map(value).collect());
            }
            (Some(columns), records)
        }
        (None, Some(lists)) => (given, lists.iter().map(|row| row.iter().collect()).collect()),
        (None, None) => return Err("the rows of data must all be maps, or all lists".into()),
    };
    let mut writer = WriterBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_writer(Vec::new());
    if let Some(columns) = columns.as_ref().filter(|columns| header && !columns.is_empty()) {
        writer.write_record(columns).map_err(|error| error.to_string())?;
    }
    for (number, record) in (1_usize..).zip(&records) {
        if record.is_empty() {
            return Err(format!("row {number} has no fields"));
        }
        if let Some(columns) = columns.as_ref().filter(|columns| columns.len() != record.len()) {
            let (has, wanted) = (record.len(), columns.len());
            return Err(format!("row {number} has {has} fields, columns has {wanted}"));
        }
        let texts = record.iter().map(|value| field(value, number));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        writer.write_record(&texts).map_err(|error| error.to_string())?;
    }
    let bytes = writer.into_inner().map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn field(value: &Value, row: usize) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Text(text) => Ok(text.to_string()),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            value.json_text(None, &Budget::unlimited()).map_err(|error| error.message)
        }
        other => Err(format!("row {row}: a field must be a text, not {}", other.describe())),
    }
}

/// The values of the lines that are not empty.
pub fn read_jsonl(text: &str) -> Result<Value, String> {
    let lines = (1_usize..).zip(text.split('\n'));
    let full = lines.filter(|(_, line)| !line.trim_matches([' ', '\t', '\r']).is_empty());
    let values = full
        .map(|(number, line)| json::read(line).map_err(|error| format!("line {number}: {error}")));
    Ok(Value::list(values.collect::<Result<_, _>>()?))
}
