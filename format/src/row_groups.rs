//! Row groups that are encoded by themselves and then placed in a file.

use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;

/// Returns the metadata of a column chunk with all offsets shifted by `bytes`.
///
/// # Errors
/// The metadata is invalid.
pub fn shifted(
    chunk: ColumnChunkMetaData,
    bytes: i64,
) -> Result<ColumnChunkMetaData, ParquetError> {
    let shift = |offset: Option<i64>| offset.map(|offset| offset + bytes);
    let data = chunk.data_page_offset() + bytes;
    let dictionary = shift(chunk.dictionary_page_offset());
    let bloom_filter = shift(chunk.bloom_filter_offset());
    chunk
        .into_builder()
        .set_data_page_offset(data)
        .set_dictionary_page_offset(dictionary)
        .set_bloom_filter_offset(bloom_filter)
        .build()
}
