// SPDX-License-Identifier: Apache-2.0
// Arrow's own machinery with a region's pool: the multithreaded CSV reader, IPC, and compute functions
// on tables that another process published, with results built in the region and published in turn.

#include "check.hpp"

#include <arrow/compute/api.h>
#include <arrow/csv/api.h>
#include <arrow/io/api.h>
#include <arrow/ipc/api.h>
#if ARROW_VERSION_MAJOR >= 21
#include <arrow/compute/initialize.h>
#endif

namespace {

namespace cp = arrow::compute;

constexpr int64_t kRows = 200'000;

std::string Csv() {
  std::string csv = "id,price,name,day,flag\n";
  for (int64_t row = 0; row < kRows; ++row) {
    csv += std::to_string(row) + "," + (row % 11 == 0 ? "" : std::to_string(row % 1000) + ".5");
    csv += ",name " + std::to_string(row % 5000) + ",2013-0" + std::to_string(1 + row % 9) + "-01,";
    csv += row % 2 == 0 ? "false\n" : "true\n";
  }
  return csv;
}

std::shared_ptr<arrow::Table> ReadCsv(const std::string& csv, arrow::MemoryPool* pool) {
  auto read = arrow::csv::ReadOptions::Defaults();
  read.block_size = 1 << 16;  // many blocks, so that the threads have some each
  auto input = std::make_shared<arrow::io::BufferReader>(arrow::Buffer::FromString(csv));
  auto reader = UNWRAP(arrow::csv::TableReader::Make(arrow::io::IOContext(pool), input, read,
                                                     arrow::csv::ParseOptions::Defaults(),
                                                     arrow::csv::ConvertOptions::Defaults()));
  return UNWRAP(reader->Read());
}

int Publish(const std::string& uri) {
  auto region = UNWRAP(csm::Region::Open(uri));
  CHECK_OK(arrow::SetCpuThreadPoolCapacity(4));
  const std::string csv = Csv();
  auto table = ReadCsv(csv, region->memory_pool());
  CHECK(table->Equals(*ReadCsv(csv, arrow::default_memory_pool())));
  CHECK(table->column(0)->num_chunks() > 10);
  CHECK_EQ(UNWRAP(region->Publish("csv", table)).bytes_copied, 0u);

  // Through IPC: the buffers are parts of the stream, which lies in the region.
  auto sink = UNWRAP(arrow::io::BufferOutputStream::Create(1 << 20, region->memory_pool()));
  auto writer = UNWRAP(arrow::ipc::MakeStreamWriter(sink, table->schema()));
  CHECK_OK(writer->WriteTable(*table));
  CHECK_OK(writer->Close());
  auto input = std::make_shared<arrow::io::BufferReader>(UNWRAP(sink->Finish()));
  auto reader = UNWRAP(arrow::ipc::RecordBatchStreamReader::Open(input));
  const auto report = UNWRAP(region->Publish("ipc", reader));
  CHECK_EQ(report.rows, static_cast<uint64_t>(kRows));
  CHECK_EQ(report.bytes_copied, 0u);
  return 0;
}

int Compute(const std::string& uri) {
#if ARROW_VERSION_MAJOR >= 21
  CHECK_OK(cp::Initialize());
#endif
  auto region = UNWRAP(csm::Region::Open(uri));
  auto table = UNWRAP(region->OpenTable("csv"));
  CHECK(UNWRAP(region->OpenTable("ipc"))->Equals(*table));
  CHECK(table->Equals(*ReadCsv(Csv(), arrow::default_memory_pool())));

  const auto sum = UNWRAP(cp::Sum(table->GetColumnByName("id"))).scalar_as<arrow::Int64Scalar>();
  CHECK_EQ(sum.value, kRows * (kRows - 1) / 2);
  CHECK_EQ(UNWRAP(cp::CallFunction("count", {table->GetColumnByName("price")})).scalar_as<arrow::Int64Scalar>().value,
           kRows - (kRows + 10) / 11);

  // The context's pool is where the result goes, temporaries too.
  cp::ExecContext context(region->memory_pool());
  auto mask = UNWRAP(cp::CallFunction("greater", {table->GetColumnByName("id"), arrow::Datum(kRows / 2)}, &context));
  auto filtered = UNWRAP(cp::Filter(table, mask, cp::FilterOptions::Defaults(), &context)).table();
  CHECK_EQ(filtered->num_rows(), kRows / 2 - 1);
  auto order = UNWRAP(cp::SortIndices(arrow::Datum(filtered), cp::SortOptions({cp::SortKey("name")}), &context));
  auto sorted = UNWRAP(cp::Take(filtered, order, cp::TakeOptions::NoBoundsCheck(), &context)).table();
  const auto report = UNWRAP(region->Publish("sorted", sorted));
  CHECK_EQ(report.bytes_copied, 0u);
  CHECK(UNWRAP(region->OpenTable("sorted"))->Equals(*sorted));
  return 0;
}

}  // namespace

int Test(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) return arguments[0] == "publish" ? Publish(arguments[1]) : Compute(arguments[1]);
  test::ScratchRegion scratch("size=256M");
  test::Run({"publish", scratch.uri()});
  test::Run({"compute", scratch.uri()});
  auto region = UNWRAP(csm::Region::Open(scratch.uri()));
  CHECK_EQ(UNWRAP(region->List()).size(), 3u);
  for (const auto& info : UNWRAP(region->List())) CHECK_OK(region->Remove(info.name));
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, 0u);
  CHECK_EQ(UNWRAP(region->Verify()).problems, 0u);
  return 0;
}
