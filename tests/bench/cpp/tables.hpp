// SPDX-License-Identifier: Apache-2.0
// What the tables of several benchmarks are built of.
#pragma once

#include <arrow/api.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace bench {

// Rows that count up from `seed`, cut to the column's type.
template <class Builder, class Value>
arrow::Result<std::shared_ptr<arrow::Array>> Column(arrow::MemoryPool* pool, int64_t rows, int64_t seed = 0) {
  Builder builder(pool);
  ARROW_RETURN_NOT_OK(builder.Reserve(rows));
  for (int64_t i = 0; i < rows; ++i) builder.UnsafeAppend(static_cast<Value>(i + seed));
  return builder.Finish();
}

// The reference's test table.
constexpr int64_t kReferenceRowBytes = 11;

inline arrow::Result<std::shared_ptr<arrow::RecordBatch>> ReferenceTable(arrow::MemoryPool* pool, int64_t rows,
                                                                         int64_t seed = 0) {
  ARROW_ASSIGN_OR_RAISE(auto day, (Column<arrow::Int64Builder, int64_t>(pool, rows, seed)));
  ARROW_ASSIGN_OR_RAISE(auto month, (Column<arrow::Int8Builder, int8_t>(pool, rows, seed)));
  ARROW_ASSIGN_OR_RAISE(auto year, (Column<arrow::UInt16Builder, uint16_t>(pool, rows, seed)));
  auto schema = arrow::schema({arrow::field("Day", day->type()), arrow::field("Month", month->type()),
                               arrow::field("Year", year->type())});
  return arrow::RecordBatch::Make(std::move(schema), rows, {day, month, year});
}

}  // namespace bench
