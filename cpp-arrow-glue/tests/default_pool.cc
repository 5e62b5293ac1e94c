// SPDX-License-Identifier: Apache-2.0
// A region as Arrow's default pool: code that names no pool builds in the region, what was made
// before and after goes back to where it came from, and Arrow's own pool can be had again.

#include "check.hpp"

#include <csm/default_pool.hpp>

#include <arrow/csv/api.h>
#include <arrow/io/api.h>

namespace {

std::shared_ptr<arrow::Buffer> at_exit_region, at_exit_own;

std::shared_ptr<arrow::Array> Numbers(int64_t count) {
  arrow::Int64Builder builder;
  for (int64_t i = 0; i < count; ++i) CHECK_OK(builder.Append(i));
  return UNWRAP(builder.Finish());
}

int Child(const std::string& uri) {
  auto region = UNWRAP(csm::Region::Open(uri));
  const auto in_region = [&](const std::shared_ptr<arrow::Array>& array) {
    return region->Contains(array->data()->buffers[1]->data());
  };
  arrow::MemoryPool* kept_by_somebody = arrow::default_memory_pool();

  auto before = Numbers(1000);
  CHECK(!in_region(before));
  auto growing_before = UNWRAP(arrow::AllocateResizableBuffer(1000, arrow::default_memory_pool()));

  CHECK_OK(csm::MakeDefault(region));
  auto after = Numbers(1000);
  CHECK(in_region(after));
  CHECK(arrow::default_memory_pool() == kept_by_somebody);
  CHECK_EQ(kept_by_somebody->backend_name(), std::string("csm"));
  auto growing_after = UNWRAP(arrow::AllocateResizableBuffer(0, arrow::default_memory_pool()));
  CHECK_OK(growing_after->Resize(1000));
  CHECK(region->Contains(growing_after->data()));
  // Each grows where it lives.
  CHECK_OK(growing_before->Resize(1'000'000));
  CHECK(!region->Contains(growing_before->data()));
  CHECK_OK(growing_before->Resize(0));

  // A reader that nobody told about a pool.
  auto input = std::make_shared<arrow::io::BufferReader>(arrow::Buffer::FromString("a,b\n1,x\n2,y\n3,z\n"));
  auto reader = UNWRAP(arrow::csv::TableReader::Make(arrow::io::default_io_context(), input,
                                                     arrow::csv::ReadOptions::Defaults(),
                                                     arrow::csv::ParseOptions::Defaults(),
                                                     arrow::csv::ConvertOptions::Defaults()));
  auto table = UNWRAP(reader->Read());
  CHECK_EQ(UNWRAP(region->Publish("from csv", table)).bytes_copied, 0u);
  CHECK(UNWRAP(region->OpenTable("from csv"))->Equals(*table));

  at_exit_region = UNWRAP(arrow::AllocateBuffer(5000, arrow::default_memory_pool()));
  CHECK_OK(csm::MakeDefault(nullptr));
  CHECK(!in_region(Numbers(1000)));
  at_exit_own = UNWRAP(arrow::AllocateBuffer(5000, arrow::default_memory_pool()));
  before.reset();
  after.reset();
  CHECK_OK(growing_after->Resize(2'000'000));
  CHECK(region->Contains(growing_after->data()));
  growing_after.reset();
  growing_before.reset();
  CHECK_OK(csm::MakeDefault(region));
  return 0;
}

}  // namespace

int Test(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) return Child(arguments[0]);
  test::ScratchRegion scratch("size=64M");
  test::Run({scratch.uri()});
  auto region = UNWRAP(csm::Region::Open(scratch.uri()));
  CHECK_OK(region->Remove("from csv"));
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, 0u);
  return 0;
}
