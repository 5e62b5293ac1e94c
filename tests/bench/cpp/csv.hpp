// SPDX-License-Identifier: Apache-2.0
// Arrow's CSV reader, on a whole file or on its first bytes.
#pragma once

#include <arrow/buffer.h>
#include <arrow/csv/api.h>
#include <arrow/io/api.h>
#include <arrow/result.h>
#include <arrow/table.h>

#include <cstring>
#include <memory>
#include <string>

namespace bench {

// The whole lines in the first `bytes` bytes of a file, or in all of it where that is 0.
inline arrow::Result<std::shared_ptr<arrow::Table>> ReadCsv(const std::string& path, int64_t bytes,
                                                            arrow::MemoryPool* pool) {
  std::shared_ptr<arrow::io::InputStream> input;
  if (bytes == 0) {
    ARROW_ASSIGN_OR_RAISE(input, arrow::io::ReadableFile::Open(path, pool));
  } else {
    ARROW_ASSIGN_OR_RAISE(auto file, arrow::io::MemoryMappedFile::Open(path, arrow::io::FileMode::READ));
    ARROW_ASSIGN_OR_RAISE(auto all, file->ReadAt(0, bytes));
    const void* end = memrchr(all->data(), '\n', static_cast<size_t>(all->size()));
    if (end == nullptr) return arrow::Status::Invalid("no line ends in the first ", bytes, " bytes of ", path);
    const int64_t whole = static_cast<const uint8_t*>(end) - all->data() + 1;
    input = std::make_shared<arrow::io::BufferReader>(arrow::SliceBuffer(all, 0, whole));
  }
  const arrow::io::IOContext context(pool);
  ARROW_ASSIGN_OR_RAISE(auto reader, arrow::csv::TableReader::Make(context, input, arrow::csv::ReadOptions::Defaults(),
                                                                   arrow::csv::ParseOptions::Defaults(),
                                                                   arrow::csv::ConvertOptions::Defaults()));
  return reader->Read();
}

}  // namespace bench
