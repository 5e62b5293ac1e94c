// SPDX-License-Identifier: Apache-2.0
// Regions as such: creating, opening, growing and destroying them, bad URIs, a forked child's
// handles, contexts and their log, and that each error arrives as the right arrow::Status.

#include "check.hpp"

namespace {

void Uris(const std::string& uri) {
  CHECK_FAILS(csm::Region::Create("shm"), CSM_E_BAD_URI, IsInvalid);
  CHECK_FAILS(csm::Region::Create("ftp:x?size=1M"), CSM_E_BAD_URI, IsInvalid);
  CHECK_FAILS(csm::Region::Create(uri + "-x?size=4M&colour=red"), CSM_E_BAD_URI, IsInvalid);
  CHECK_FAILS(csm::Region::Create(uri + "-x?size=0"), CSM_E_BAD_SIZE, IsInvalid);
  CHECK_FAILS(csm::Region::Open(uri + "-missing"), CSM_E_REGION_NOT_FOUND, IsKeyError);
  CHECK_FAILS(csm::Region::Destroy(uri + "-missing"), CSM_E_REGION_NOT_FOUND, IsKeyError);
  CHECK_FAILS(csm::Region::Create(uri + "?size=32M"), CSM_E_REGION_EXISTS, IsAlreadyExists);
  CHECK_FAILS(csm::Region::Open(std::string("shm:a\0b", 7)), CSM_E_INVALID_ARGUMENT, IsInvalid);
  CHECK(csm::Region::Create(uri + "-x?size=1000000G").status().IsOutOfMemory() ||
        csm::Region::Create(uri + "-x?size=1000000G").status().IsInvalid());
}

void Handles(const std::string& uri) {
  auto one = UNWRAP(csm::Region::Open(uri));
  auto other = UNWRAP(csm::Region::Open(uri));
  const auto info = UNWRAP(one->Info());
  CHECK(info.base == UNWRAP(other->Info()).base);  // mapped once
  CHECK_EQ(info.writable, 1u);
  CHECK(info.size_bytes >= info.data_bytes + info.metadata_bytes);
  CHECK_FAILS(csm::Region::Destroy(uri), CSM_E_IN_USE, IsIOError);

  CHECK_OK(one->Grow(64 << 20));
  CHECK(UNWRAP(other->Info()).size_bytes == uint64_t{64} << 20);
  CHECK_FAILS(one->Grow(uint64_t{1} << 40), CSM_E_BAD_SIZE, IsInvalid);

  CHECK_OK(one->Close());
  CHECK_FAILS(one->Close(), CSM_E_CLOSED, IsInvalid);
  CHECK_FAILS(one->Info(), CSM_E_CLOSED, IsInvalid);
  CHECK_FAILS(one->Grow(64 << 20), CSM_E_CLOSED, IsInvalid);
  CHECK(!one->Contains(info.base));
  CHECK_OK(other->Info().status());
}

// What a forked child inherits answers with an error, frees nothing and may go away in peace.
int Fork(const std::string& uri) {
  auto region = UNWRAP(csm::Region::Open(uri));
  auto* pool = region->memory_pool();
  arrow::Int64Builder builder(pool);
  CHECK_OK(builder.AppendValues(std::vector<int64_t>(10'000, 3)));
  auto array = UNWRAP(builder.Finish());
  auto schema = arrow::schema({arrow::field("x", arrow::int64())});
  CHECK_OK(region->Publish("forked", arrow::Table::Make(schema, {array})).status());
  auto table = UNWRAP(region->OpenTable("forked"));
  auto lease = UNWRAP(region->OpenLease("forked"));
  const auto stats = UNWRAP(region->Stats());

  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    uint8_t* bytes = nullptr;
    CHECK_FAILS(pool->Allocate(64, &bytes), CSM_E_FORKED, IsInvalid);
    CHECK_FAILS(region->OpenTable("forked"), CSM_E_FORKED, IsInvalid);
    CHECK_FAILS(region->Remove("forked"), CSM_E_FORKED, IsInvalid);
    CHECK_FAILS(lease->Info(), CSM_E_FORKED, IsInvalid);
    array.reset();
    table.reset();
    lease.reset();
    region.reset();
    std::_Exit(0);
  }
  test::Join(child);
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, stats.live_bytes);
  CHECK_EQ(UNWRAP(region->Stats()).leases, stats.leases);
  CHECK_EQ(static_cast<const arrow::Int64Array&>(*table->column(0)->chunk(0)).Value(9'999), 3);
  CHECK_OK(lease->Check());
  CHECK_OK(region->Remove("forked"));
  return 0;
}

void ReadOnly(const std::string& uri) {
  auto region = UNWRAP(csm::Region::Open(uri + "?access=ro"));
  CHECK_EQ(UNWRAP(region->Info()).writable, 0u);
  auto table = UNWRAP(region->OpenTable("kept"));
  CHECK_EQ(table->num_rows(), 3);
  CHECK_FAILS(region->Publish("more", table), CSM_E_READ_ONLY, IsInvalid);
  CHECK_FAILS(region->Remove("kept"), CSM_E_READ_ONLY, IsInvalid);
}

int ReadOnlyPool(const std::string& uri) {
  ReadOnly(uri);
  auto region = UNWRAP(csm::Region::Open(uri + "?access=ro"));
  uint8_t* bytes = nullptr;
  CHECK_FAILS(region->memory_pool()->Allocate(64, &bytes), CSM_E_READ_ONLY, IsInvalid);
  return 0;
}

void Statuses() {
  const auto status = csm::Region::Open("shm:csm-cpp-test-missing").status();
  CHECK(status.detail() != nullptr);
  CHECK(status.ToString().find("CSM_E_REGION_NOT_FOUND") != std::string::npos);
  CHECK_EQ(csm::CodeOf(arrow::Status::OK()), CSM_OK);
  CHECK_EQ(csm::CodeOf(arrow::Status::Invalid("not ours")), CSM_OK);
}

}  // namespace

int Test(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) return arguments[0] == "fork" ? Fork(arguments[1]) : ReadOnlyPool(arguments[1]);
  test::ScratchRegion scratch("size=32M&max=128M");
  Uris(scratch.uri());
  Handles(scratch.uri());
  test::Run({"fork", scratch.uri()});
  {
    auto region = UNWRAP(csm::Region::Open(scratch.uri()));
    arrow::Int64Builder builder;
    CHECK_OK(builder.AppendValues({1, 2, 3}));
    auto table = arrow::Table::Make(arrow::schema({arrow::field("x", arrow::int64())}), {UNWRAP(builder.Finish())});
    CHECK_OK(region->Publish("kept", table).status());
  }
  test::Run({"read-only", scratch.uri()});
  Statuses();
  return 0;
}
