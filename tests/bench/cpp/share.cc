// SPDX-License-Identifier: Apache-2.0
// libcsm's ends of the shared table in C++: `share writer|reader PLACE SIZE_BYTES`. peers/share.py drives it as it does
// peers/child.py: commands on stdin, answers on stdout, a JSON line each; peers/table.py says what the table is.

#include "series.hpp"

#include <csm/arrow.hpp>

#include <arrow/api.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr int64_t kRowBytes = 32, kChars = 12, kMaxRows = 1 << 20, kPattern = 2048;

struct Writer {
  int64_t rows;
  std::shared_ptr<csm::Region> region;
  std::shared_ptr<arrow::Table> table;

  arrow::Result<std::shared_ptr<arrow::RecordBatch>> Batch(int64_t start, int64_t rows, const char* pattern) {
    arrow::MemoryPool* pool = region->memory_pool();
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> ids, arrow::AllocateBuffer(rows * 8, pool));
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> values, arrow::AllocateBuffer(rows * 8, pool));
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> offsets, arrow::AllocateBuffer((rows + 1) * 4, pool));
    ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> chars, arrow::AllocateBuffer(rows * kChars, pool));
    auto* id = reinterpret_cast<int64_t*>(ids->mutable_data());
    auto* value = reinterpret_cast<double*>(values->mutable_data());
    auto* offset = reinterpret_cast<int32_t*>(offsets->mutable_data());
    for (int64_t i = 0; i < rows; ++i) id[i] = start + i;
    for (int64_t i = 0; i < rows; ++i) value[i] = static_cast<double>(start + i) * 0.25;
    for (int64_t i = 0; i <= rows; ++i) offset[i] = static_cast<int32_t>(i * kChars);
    for (int64_t at = 0; at < rows * kChars; at += kPattern) {
      std::memcpy(chars->mutable_data() + at, pattern, static_cast<size_t>(std::min(kPattern, rows * kChars - at)));
    }
    auto schema = arrow::schema({arrow::field("id", arrow::int64()), arrow::field("value", arrow::float64()),
                                 arrow::field("name", arrow::utf8())});
    return arrow::RecordBatch::Make(schema, rows,
                                    {std::make_shared<arrow::Int64Array>(rows, ids),
                                     std::make_shared<arrow::DoubleArray>(rows, values),
                                     std::make_shared<arrow::StringArray>(rows, offsets, chars)});
  }

  arrow::Status Build(int64_t seed) {
    std::string pattern(kPattern, ' ');
    for (int64_t i = 0; i < kPattern; ++i) {
      pattern[static_cast<size_t>((i + seed) % kPattern)] = "abcdefghijklmnopqrstuvwxyz0123456789"[i % 36];
    }
    std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
    for (int64_t at = 0; at < rows; at += kMaxRows) {
      ARROW_ASSIGN_OR_RAISE(auto batch, Batch(seed + at, std::min(kMaxRows, rows - at), pattern.data()));
      batches.push_back(batch);
    }
    return arrow::Table::FromRecordBatches(batches).Value(&table);
  }

  arrow::Status Put(const std::string& name, int64_t round) {
    const int64_t faults = bench::PageFaults(), start = bench::NowNs();
    ARROW_RETURN_NOT_OK(Build(round));
    const int64_t built = bench::NowNs();
    ARROW_ASSIGN_OR_RAISE(const auto report, region->Publish(name, table));
    const int64_t put = bench::NowNs();
    table.reset();
    if (report.bytes_copied != 0) return arrow::Status::Invalid("it was copied");
    std::printf("{\"build\": %ld, \"put\": %ld, \"faults\": %ld}\n", built - start, put - built,
                bench::PageFaults() - faults);
    return arrow::Status::OK();
  }
};

uint64_t Sum(const arrow::RecordBatch& batch) {
  const auto& id = static_cast<const arrow::Int64Array&>(*batch.column(0));
  const auto& value = static_cast<const arrow::DoubleArray&>(*batch.column(1));
  const auto& name = static_cast<const arrow::StringArray&>(*batch.column(2));
  const int64_t rows = batch.num_rows();
  uint64_t ids = 0, offsets = 0, chars = 0;
  double values[8] = {};  // as many sums as the compiler may keep in one register: it may not reorder them itself
  for (int64_t i = 0; i < rows; ++i) ids += static_cast<uint64_t>(id.raw_values()[i]);
  int64_t i = 0;
  for (; i + 8 <= rows; i += 8) {
    for (int64_t k = 0; k < 8; ++k) values[k] += value.raw_values()[i + k];
  }
  for (; i < rows; ++i) values[0] += value.raw_values()[i];
  for (i = 0; i <= rows; ++i) offsets += static_cast<uint32_t>(name.raw_value_offsets()[i]);
  const auto nbytes = static_cast<size_t>(name.value_offset(rows) - name.value_offset(0));
  const uint8_t* const text = name.raw_data() + name.value_offset(0);
  for (size_t at = 0; at + 8 <= nbytes; at += 8) {
    uint64_t word;
    std::memcpy(&word, text + at, 8);
    chars += word;
  }
  volatile uint64_t read = offsets;  // read, as in table.py, and not part of the sum
  (void)read;
  double total = 0;
  for (const double part : values) total += part;
  return ids + static_cast<uint64_t>(static_cast<int64_t>(total * 4)) + nbytes + chars;
}

arrow::Status Get(csm::Region& region, const std::string& name) {
  const int64_t faults = bench::PageFaults(), start = bench::NowNs();
  ARROW_ASSIGN_OR_RAISE(auto reader, region.OpenReader(name));
  ARROW_ASSIGN_OR_RAISE(auto first_batch, reader->Next());
  const int64_t opened = bench::NowNs();
  const int64_t value = static_cast<const arrow::Int64Array&>(*first_batch->column(0)).Value(0);
  const volatile int64_t seen = value;
  const int64_t first = bench::NowNs();
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches = {first_batch};
  while (true) {
    ARROW_ASSIGN_OR_RAISE(auto batch, reader->Next());
    if (batch == nullptr) break;
    batches.push_back(batch);
  }
  uint64_t sum = 0, again = 0;
  for (const auto& batch : batches) sum += Sum(*batch);
  const int64_t scanned = bench::NowNs(), faults_after = bench::PageFaults();
  for (const auto& batch : batches) again += Sum(*batch);
  const int64_t end = bench::NowNs();
  if (sum != again) return arrow::Status::Invalid("the second scan found another sum than the first");
  std::printf("{\"open\": %ld, \"first value\": %ld, \"first scan\": %ld, \"second scan\": %ld, \"value\": %ld, "
              "\"sum\": %lu, \"faults\": %ld}\n",
              opened - start, first - opened, scanned - first, end - scanned, static_cast<long>(seen), sum,
              faults_after - faults);
  return arrow::Status::OK();
}

// The text or number after "KEY": in a line of JSON that share.py wrote.
std::string Field(const std::string& line, const std::string& key) {
  auto at = line.find("\"" + key + "\": ");
  if (at == std::string::npos) return "";
  at += key.size() + 4;
  const bool quoted = line[at] == '"';
  at += quoted;
  return line.substr(at, line.find_first_of(quoted ? "\"" : ",}", at) - at);
}

arrow::Status Run(const std::string& role, const std::string& place, int64_t size_bytes) {
  const std::string uri = "shm:" + place;
  const int64_t start = bench::NowNs();
  const int64_t region_bytes = (size_bytes + size_bytes / 8 + (24 << 20)) >> 21 << 21;
  const bool writes = role == "writer";
  ARROW_ASSIGN_OR_RAISE(auto region, writes ? csm::Region::Create(uri + "?size=" + std::to_string(region_bytes))
                                            : csm::Region::Open(uri));
  std::printf("{\"setup\": %ld}\n", bench::NowNs() - start);
  std::fflush(stdout);
  Writer writer{size_bytes / kRowBytes / 2 * 2, region, nullptr};
  std::string line;
  while (std::getline(std::cin, line)) {
    const std::string action = Field(line, "do"), name = Field(line, "name");
    if (action == "put") {
      ARROW_RETURN_NOT_OK(writer.Put(name, std::strtol(Field(line, "round").c_str(), nullptr, 10)));
    } else if (action == "get") {
      ARROW_RETURN_NOT_OK(Get(*region, name));
    } else if (action == "remove") {
      ARROW_RETURN_NOT_OK(region->Remove(name));
      std::printf("{}\n");
    } else {
      std::printf("{}\n");
    }
    std::fflush(stdout);
  }
  return arrow::Status::OK();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "destroy") {
    return csm::Region::Destroy(std::string("shm:") + argv[2]).ok() ? 0 : 1;
  }
  if (argc != 4) {
    std::cerr << "usage: share writer|reader PLACE SIZE_BYTES\n";
    return 2;
  }
  const auto status = Run(argv[1], argv[2], std::strtol(argv[3], nullptr, 10));
  if (!status.ok()) std::cerr << "share: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
