// SPDX-License-Identifier: Apache-2.0
// A table whose columns lie in two regions: published in one, read where both are open, refused with
// a clear error where one is missing. And sealing: what is published cannot be written any more, and
// can be again once it was freed.

#include "check.hpp"

#include <csignal>
#include <cstring>

namespace {

std::shared_ptr<arrow::Array> Constant(arrow::MemoryPool* pool, int64_t value, int64_t count) {
  arrow::Int64Builder builder(pool);
  CHECK_OK(builder.AppendValues(std::vector<int64_t>(static_cast<size_t>(count), value)));
  return UNWRAP(builder.Finish());
}

std::shared_ptr<arrow::Table> Expected(arrow::MemoryPool* home, arrow::MemoryPool* other) {
  auto schema = arrow::schema({arrow::field("here", arrow::int64()), arrow::field("there", arrow::int64())});
  return arrow::Table::Make(schema, {Constant(home, 1, 10'000), Constant(other, 2, 10'000)});
}

int Write(const std::string& home_uri, const std::string& other_uri) {
  auto home = UNWRAP(csm::Region::Open(home_uri));
  auto other = UNWRAP(csm::Region::Open(other_uri));
  auto table = Expected(home->memory_pool(), other->memory_pool());
  CHECK(home->Contains(table->column(0)->chunk(0)->data()->buffers[1]->data()));
  CHECK(other->Contains(table->column(1)->chunk(0)->data()->buffers[1]->data()));
  CHECK_EQ(UNWRAP(home->Publish("both", table)).bytes_copied, 0u);
  CHECK(test::CountInPlace(*UNWRAP(home->OpenTable("both")), test::AddressesOf(*table)) == 2);
  return 0;
}

int Read(const std::string& home_uri, const std::string& other_uri) {
  auto home = UNWRAP(csm::Region::Open(home_uri));
  const auto status = home->OpenTable("both").status();
  CHECK_FAILS(status, CSM_E_REGION_NOT_FOUND, IsKeyError);
  auto other = UNWRAP(csm::Region::Open(other_uri));
  auto table = UNWRAP(home->OpenTable("both"));
  CHECK(table->Equals(*Expected(arrow::default_memory_pool(), arrow::default_memory_pool())));
  other.reset();
  home.reset();
  CHECK(table->Equals(*Expected(arrow::default_memory_pool(), arrow::default_memory_pool())));
  return 0;
}

uint8_t* sealed_byte = nullptr;

int Seal(const std::string& uri, const std::string& /*other*/) {
  auto region = UNWRAP(csm::Region::Open(uri));
  auto* pool = region->memory_pool();
  const int64_t rows = 1 << 18;
  auto array = Constant(pool, 7, rows);
  csm::PublishOptions options;
  options.seal = true;
  auto schema = arrow::schema({arrow::field("x", arrow::int64())});
  auto report = UNWRAP(region->Publish("sealed", arrow::Table::Make(schema, {array}), options));
  CHECK(report.bytes_sealed > 0);
  CHECK_EQ(report.bytes_copied, 0u);

  // Another process that writes to it is the one that dies; here a child that only writes.
  sealed_byte = const_cast<uint8_t*>(array->data()->buffers[1]->data()) + (rows * 8) / 2;
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    std::signal(SIGSEGV, [](int) { std::_Exit(42); });
    *sealed_byte = 0;
    std::_Exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 42);

  // Freed, its pages serve again, from end to end.
  CHECK(UNWRAP(region->OpenTable("sealed"))->column(0)->chunk(0)->Equals(array));
  CHECK_OK(region->Remove("sealed"));
  array.reset();
  const int64_t free_bytes = static_cast<int64_t>(UNWRAP(region->Stats()).largest_free_bytes);
  auto buffer = UNWRAP(arrow::AllocateBuffer(free_bytes / 2, pool));
  auto rest = UNWRAP(arrow::AllocateBuffer(free_bytes / 4, pool));
  std::memset(buffer->mutable_data(), 1, static_cast<size_t>(buffer->size()));
  std::memset(rest->mutable_data(), 1, static_cast<size_t>(rest->size()));
  return 0;
}

}  // namespace

int Test(const std::vector<std::string>& arguments) {
  const std::string mode = arguments.empty() ? "" : arguments[0];
  if (mode == "write") return Write(arguments[1], arguments[2]);
  if (mode == "read") return Read(arguments[1], arguments[2]);
  if (mode == "seal") return Seal(arguments[1], arguments[2]);

  test::ScratchRegion home("size=16M&slot=1"), other("size=16M&slot=2");
  test::Run({"write", home.uri(), other.uri()});
  test::Run({"read", home.uri(), other.uri()});
  test::Run({"seal", home.uri(), other.uri()});

  // The name goes in its home; what lies in the other region returns as well.
  auto region = UNWRAP(csm::Region::Open(home.uri()));
  auto beside = UNWRAP(csm::Region::Open(other.uri()));
  CHECK_OK(region->Remove("both"));
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, 0u);
  CHECK_EQ(UNWRAP(beside->Stats()).live_bytes, 0u);
  CHECK_EQ(UNWRAP(region->Verify()).problems, 0u);
  CHECK_EQ(UNWRAP(beside->Verify()).problems, 0u);
  return 0;
}
