//! A Parquet table that is written row by row.
//!
//! In: rows of values. Out: row groups of a bounded size, compressed, so that memory does not grow with the table; at the
//! end the footer.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use crate::report::PROGRAM;
use crate::time::Time;

/// Rows of one row group.
const GROUP_ROWS_MAX: usize = 1 << 15;
/// Bytes of text of one row group.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// Name and kind of a column.
pub type Column = (&'static str, Kind);

/// What a column holds. All but lists may be null; a list may be empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A count.
    Number,
    /// UTF-8.
    Text,
    /// A moment, UTC.
    Time,
    /// Yes or no.
    Bool,
    /// A list of texts.
    List,
}

/// What stands in a cell.
pub enum Value {
    /// It is not known.
    Null,
    /// A count.
    Number(u64),
    /// UTF-8.
    Text(Vec<u8>),
    /// A moment.
    Time(Time),
    /// Yes or no.
    Bool(bool),
    /// A list of texts.
    List(Vec<String>),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into().into_bytes())
    }

    /// What is made of something, or null.
    pub fn optional<T>(from: Option<T>, make: impl FnOnce(T) -> Value) -> Value {
        from.map_or(Value::Null, make)
    }
}

/// The values of a column that wait for their row group.
#[derive(Default)]
struct Cells {
    numbers: Vec<i64>,
    bools: Vec<bool>,
    texts: Vec<ByteArray>,
    /// Of each place: 1 when there is a value.
    defined: Vec<i16>,
    /// Of each place of a list: 1 when it goes on.
    repeated: Vec<i16>,
}

/// A table that is being written.
pub struct Table<W: Write + Send> {
    columns: &'static [Column],
    cells: Vec<Cells>,
    rows: usize,
    bytes: usize,
    out: SerializedFileWriter<W>,
}

impl<W: Write + Send> Table<W> {
    /// A table without rows.
    pub fn new(name: &str, columns: &'static [Column], out: W) -> io::Result<Table<W>> {
        let properties = WriterProperties::builder()
            .set_created_by(PROGRAM.to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // No index of pages: it would be kept in memory up to the end.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let schema = Type::group_type_builder(name).with_fields(fields).build().map_err(failed)?;
        let out = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        let cells = columns.iter().map(|_| Cells::default()).collect();
        Ok(Table { columns, cells, rows: 0, bytes: 0, out })
    }

    /// Adds a row, a value for each column.
    pub fn push<const N: usize>(&mut self, row: [Value; N]) -> io::Result<()> {
        for (cells, value) in self.cells.iter_mut().zip(row) {
            self.bytes += cells.push(value);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX { self.end_group() } else { Ok(()) }
    }

    /// Writes what waits, and the footer.
    pub fn end(&mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.end_group()?;
        }
        self.out.finish().map_err(failed)?;
        self.out.inner_mut().flush()
    }

    fn end_group(&mut self) -> io::Result<()> {
        let mut group = self.out.next_row_group().map_err(failed)?;
        for ((_, kind), cells) in self.columns.iter().zip(&mut self.cells) {
            cells.write(*kind, &mut group).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl Cells {
    /// Adds the value of a row; about how many bytes it takes.
    fn push(&mut self, value: Value) -> usize {
        match value {
            Value::Null => self.defined.push(0),
            Value::Number(number) => self.number(i64::try_from(number).unwrap_or(i64::MAX)),
            Value::Time(time) => self.number(time.0.div_euclid(1000)),
            Value::Bool(holds) => {
                self.defined.push(1);
                self.bools.push(holds);
            }
            Value::Text(text) => return self.text(text, 0),
            Value::List(texts) if texts.is_empty() => {
                self.defined.push(0);
                self.repeated.push(0);
            }
            Value::List(texts) => {
                let texts = texts.into_iter().enumerate();
                return texts.map(|(n, text)| self.text(text.into_bytes(), i16::from(n > 0))).sum();
            }
        }
        size_of::<i64>()
    }

    fn number(&mut self, number: i64) {
        self.defined.push(1);
        self.numbers.push(number);
    }

    fn text(&mut self, text: Vec<u8>, goes_on: i16) -> usize {
        let bytes = text.len() + size_of::<ByteArray>();
        self.defined.push(1);
        self.repeated.push(goes_on);
        self.texts.push(text.into());
        bytes
    }

    /// Writes the column and forgets it.
    fn write<W: Write + Send>(
        &mut self,
        kind: Kind,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let Some(mut column) = group.next_column()? else { return Ok(()) };
        let defined = Some(self.defined.as_slice());
        match kind {
            Kind::Number | Kind::Time => column.typed::<Int64Type>().write_batch(&self.numbers, defined, None)?,
            Kind::Bool => column.typed::<BoolType>().write_batch(&self.bools, defined, None)?,
            Kind::Text => column.typed::<ByteArrayType>().write_batch(&self.texts, defined, None)?,
            Kind::List => {
                column.typed::<ByteArrayType>().write_batch(&self.texts, defined, Some(self.repeated.as_slice()))?
            }
        };
        column.close()?;
        *self = Cells::default();
        Ok(())
    }
}

/// The type of a column.
fn field((name, kind): &Column) -> Result<TypePtr, ParquetError> {
    let text = Some(LogicalType::String);
    let primitive = |physical, logical| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    };
    match kind {
        Kind::Number => primitive(Physical::INT64, None),
        Kind::Text => primitive(Physical::BYTE_ARRAY, text),
        Kind::Time => primitive(Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Kind::Bool => primitive(Physical::BOOLEAN, None),
        Kind::List => {
            // The three levels that the standard wants of a list.
            let element = Type::primitive_type_builder("element", Physical::BYTE_ARRAY)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(text)
                .build()?;
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![Arc::new(element)])
                .build()?;
            let outer = Type::group_type_builder(name)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::List))
                .with_fields(vec![Arc::new(list)])
                .build()?;
            Ok(Arc::new(outer))
        }
    }
}

/// The error of the system when it was one.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row group ends when its texts are many bytes, however few its rows are.
    #[test]
    fn bytes_of_a_row_group() {
        let mut out = Vec::new();
        let mut table = Table::new("t", &[("text", Kind::Text)], &mut out).unwrap();
        let row = 1 << 20;
        let mut most = 0;
        for _ in 0..2 * GROUP_BYTES_MAX / row {
            table.push([Value::Text(vec![b'x'; row])]).unwrap();
            most = most.max(table.bytes);
        }
        assert!((GROUP_BYTES_MAX / 2..GROUP_BYTES_MAX).contains(&most), "{most}");
        table.end().unwrap();
    }
}
