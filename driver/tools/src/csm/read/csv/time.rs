//! Dates and times. arrow-rs would read a time into a column of dates, or a fraction into one of seconds,
//! without a word about what it drops. So such columns are read as text, and made what they are here, value
//! by value, if nothing is lost.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

/// The schema with text in place of dates and times.
pub(super) fn as_text(schema: &Schema) -> SchemaRef {
    let text = |field: &Arc<Field>| match field.data_type() {
        data_type if data_type.is_temporal() => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8))
        }
        _ => field.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(text).collect::<Vec<_>>()))
}

/// A batch of [`as_text`]'s schema as one of `schema`, or the first value that does not fit: what it is, its
/// column and its row.
pub(super) fn from_text(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<Result<RecordBatch, (String, usize, usize)>, ArrowError> {
    let mut columns = batch.columns().to_vec();
    for (number, column) in columns.iter_mut().enumerate() {
        let data_type = schema.field(number).data_type();
        if !data_type.is_temporal() {
            continue;
        }
        let values = cast(column, data_type)?;
        let text = column.as_string::<i32>();
        let lost =
            |row: &usize| text.is_valid(*row) && (values.is_null(*row) || !fits(text.value(*row), data_type));
        if let Some(row) = (0..text.len()).find(lost) {
            return Ok(Err((format!("'{}' is not {data_type}", text.value(row)), number, row)));
        }
        *column = values;
    }
    RecordBatch::try_new(schema.clone(), columns).map(Ok)
}

/// Whether a column of `data_type` can hold all that a readable `text` says.
fn fits(text: &str, data_type: &DataType) -> bool {
    const DATE: usize = "2013-01-01".len();
    const SECOND: usize = "2013-01-01T10:00:00".len();
    let digits_most = match data_type {
        DataType::Date32 => return text.len() == DATE,
        DataType::Timestamp(TimeUnit::Second, _) => 0,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 3,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 6,
        _ => 9,
    };
    let fraction = text.get(SECOND..).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    fraction.bytes().take_while(u8::is_ascii_digit).count() <= digits_most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_dropped() {
        let stamp = |unit| DataType::Timestamp(unit, None);
        for (text, data_type, fit) in [
            ("2013-01-01", DataType::Date32, true),
            ("2013-01-01T10:00:00", DataType::Date32, false),
            ("2013-01-01", stamp(TimeUnit::Second), true),
            ("2013-01-01 10:00:00", stamp(TimeUnit::Second), true),
            ("2013-01-01T10:00:00+02:00", stamp(TimeUnit::Second), true),
            ("2013-01-01T10:00:00.5", stamp(TimeUnit::Second), false),
            ("2013-01-01T10:00:00.123Z", stamp(TimeUnit::Millisecond), true),
            ("2013-01-01T10:00:00.1234Z", stamp(TimeUnit::Millisecond), false),
            ("2013-01-01T10:00:00.123456789", stamp(TimeUnit::Nanosecond), true),
        ] {
            assert_eq!(fits(text, &data_type), fit, "{text} as {data_type}");
        }
    }
}
