//! Records as Parquet: typed columns, written one row group at a time.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use swath_model::view::{CellResults, ReplicateResult};

use crate::records::{Datum, Field, Kind, Records};

/// How many records are held in memory as columns at once.
const GROUP: usize = 16_384;

impl Records<'_> {
    /// Writes them as Parquet: every column optional, whole numbers as INT64
    /// (counts unsigned), words as UTF-8 strings, in row groups of 16,384.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written.
    pub fn write_parquet(&self, out: &mut (impl Write + Send)) -> std::io::Result<()> {
        self.written(out).map_err(|error| match error {
            ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
                Ok(error) => *error,
                Err(other) => std::io::Error::other(other),
            },
            other => std::io::Error::other(other),
        })
    }

    fn written(&self, out: &mut (impl Write + Send)) -> Result<()> {
        let columns = self
            .fields()
            .iter()
            .map(|field| column(field).map(Arc::new));
        let schema = Type::group_type_builder("replicates")
            .with_fields(columns.collect::<Result<_>>()?)
            .build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("swath".to_owned())
            .build();
        let mut writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
        let rows: Vec<_> = self.rows().collect();
        for rows in rows.chunks(GROUP) {
            let mut group = writer.next_row_group()?;
            for field in self.fields() {
                let Some(mut column) = group.next_column()? else {
                    break;
                };
                self.fill(field, rows, column.untyped())?;
                column.close()?;
            }
            group.close()?;
        }
        writer.close()?;
        Ok(())
    }

    /// Writes one column of these rows.
    fn fill(
        &self,
        field: &Field,
        rows: &[(&CellResults, &ReplicateResult)],
        column: &mut ColumnWriter<'_>,
    ) -> Result<()> {
        let data = || rows.iter().map(|(cell, it)| self.datum(field, cell, it));
        // 1: there is a value; 0: null.
        let levels: Vec<i16> = data().map(|it| i16::from(it != Datum::Null)).collect();
        match column {
            ColumnWriter::ByteArrayColumnWriter(column) => {
                let texts = data().filter_map(|it| match it {
                    Datum::Text(text) => Some(ByteArray::from(text.into_owned().into_bytes())),
                    _ => None,
                });
                column.write_batch(&texts.collect::<Vec<_>>(), Some(&levels), None)?;
            }
            ColumnWriter::DoubleColumnWriter(column) => {
                let numbers = data().filter_map(|it| match it {
                    Datum::Number(number) => Some(number),
                    _ => None,
                });
                column.write_batch(&numbers.collect::<Vec<_>>(), Some(&levels), None)?;
            }
            ColumnWriter::Int64ColumnWriter(column) => {
                let numbers = data().filter_map(|it| match it {
                    Datum::Integer(number) => Some(number),
                    // The same bits; the column says that they are unsigned.
                    Datum::Count(number) => Some(number.cast_signed()),
                    _ => None,
                });
                column.write_batch(&numbers.collect::<Vec<_>>(), Some(&levels), None)?;
            }
            ColumnWriter::BoolColumnWriter(column) => {
                let flags = data().filter_map(|it| match it {
                    Datum::Flag(flag) => Some(flag),
                    _ => None,
                });
                column.write_batch(&flags.collect::<Vec<_>>(), Some(&levels), None)?;
            }
            _ => return Err(ParquetError::General(format!("{} has no type", field.name))),
        }
        Ok(())
    }
}

fn column(field: &Field) -> Result<Type> {
    let (physical, logical) = match field.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Integer => (Physical::INT64, None),
        Kind::Count => (Physical::INT64, Some(LogicalType::integer(64, false))),
        Kind::Number => (Physical::DOUBLE, None),
        Kind::Flag => (Physical::BOOLEAN, None),
    };
    Type::primitive_type_builder(&field.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}
