// SPDX-License-Identifier: Apache-2.0
// Publishing and opening beyond the types: many chunks, slices, shared and foreign buffers, empty
// tables, names, replace and remove under a reader, and who may outlive whom.

#include "check.hpp"

#include <algorithm>
#include <thread>

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::shared_ptr<arrow::Array> Numbers(arrow::MemoryPool* pool, int64_t from, int64_t count) {
  arrow::Int64Builder builder(pool);
  for (int64_t i = from; i < from + count; ++i) CHECK_OK(builder.Append(i));
  return UNWRAP(builder.Finish());
}

std::shared_ptr<arrow::Array> Words(arrow::MemoryPool* pool, int64_t from, int64_t count) {
  arrow::StringBuilder builder(pool);
  for (int64_t i = from; i < from + count; ++i) {
    CHECK_OK(i % 7 == 0 ? builder.AppendNull() : builder.Append("word " + std::to_string(i)));
  }
  return UNWRAP(builder.Finish());
}

std::shared_ptr<arrow::Table> OneColumn(std::shared_ptr<arrow::Array> array) {
  return arrow::Table::Make(arrow::schema({arrow::field("x", array->type())}), {array});
}

// Publishes what lies in the region: nothing may be copied, and it must be there again, at its place.
void RoundTrip(csm::Region* region, const std::string& name, const std::shared_ptr<arrow::Table>& table) {
  const auto report = UNWRAP(region->Publish(name, table));
  CHECK_EQ(report.bytes_copied, 0u);
  const auto opened = UNWRAP(region->OpenTable(name));
  CHECK(opened->Equals(*table, true));
  CHECK_OK(opened->ValidateFull());
  const auto in_place = test::CountInPlace(*opened, test::AddressesOf(*table));
  CHECK(in_place > 0 || table->num_rows() == 0);
}

void ManyChunks(csm::Region* region) {
  constexpr int64_t kChunks = 20'000;
  arrow::ArrayVector numbers, words;
  for (int64_t i = 0; i < kChunks; ++i) {
    numbers.push_back(Numbers(region->memory_pool(), i, 3));
    words.push_back(Words(region->memory_pool(), i, 3));
  }
  const auto schema = arrow::schema({arrow::field("n", arrow::int64()), arrow::field("w", arrow::utf8())});
  RoundTrip(region, "many chunks", arrow::Table::Make(schema, {std::make_shared<arrow::ChunkedArray>(numbers),
                                                               std::make_shared<arrow::ChunkedArray>(words)}));
  auto lease = UNWRAP(region->OpenLease("many chunks"));
  CHECK_EQ(UNWRAP(lease->Info()).batches, static_cast<uint64_t>(kChunks));
  const auto last = UNWRAP(lease->Batch(kChunks - 1));
  CHECK(last->column(0)->Equals(numbers.back()));
  CHECK(lease->Batch(kChunks).status().IsInvalid());

  // Chunks that end at different rows are cut where either does.
  auto uneven = std::make_shared<arrow::ChunkedArray>(
      arrow::ArrayVector{numbers[0], numbers[1], Numbers(region->memory_pool(), 0, kChunks * 3 - 6)});
  const auto table = arrow::Table::Make(schema, {uneven, std::make_shared<arrow::ChunkedArray>(words)});
  const auto report = UNWRAP(region->Publish("uneven", table));
  CHECK_EQ(report.bytes_copied, 0u);
  CHECK_EQ(report.batches, static_cast<uint64_t>(kChunks));
  CHECK(UNWRAP(region->OpenTable("uneven"))->Equals(*table));
}

void SlicesAndSharing(csm::Region* region) {
  auto* pool = region->memory_pool();
  const auto whole = Words(pool, 0, 1000);
  const auto report = UNWRAP(region->Publish("whole", OneColumn(whole)));
  CHECK(report.bytes_in_place > 0 && report.rows == 1000 && report.batches == 1 && report.descriptor_bytes > 0);
  for (int64_t offset : {1, 7, 8, 63, 999, 1000}) {
    RoundTrip(region, "slice " + std::to_string(offset), OneColumn(whole->Slice(offset, 5)));
  }
  // One array as two columns, and what was opened published again.
  auto schema = arrow::schema({arrow::field("a", whole->type()), arrow::field("b", whole->type())});
  RoundTrip(region, "twice", arrow::Table::Make(schema, {whole, whole}));
  RoundTrip(region, "again", UNWRAP(region->OpenTable("twice"))->Slice(10, 20));

  arrow::BooleanBuilder builder(pool);
  for (int i = 0; i < 1000; ++i) CHECK_OK(i % 5 == 0 ? builder.AppendNull() : builder.Append(i % 3 == 0));
  RoundTrip(region, "bits", OneColumn(UNWRAP(builder.Finish())->Slice(13, 900)));

  // Dictionaries by Arrow's builder, another one in each chunk.
  arrow::ArrayVector chunks;
  for (int chunk = 0; chunk < 3; ++chunk) {
    arrow::StringDictionary32Builder words(pool);
    const std::string prefix = "chunk " + std::to_string(chunk) + ", ";
    for (int i = 0; i < 100; ++i) CHECK_OK(words.Append(prefix + std::to_string(i % 7)));
    chunks.push_back(UNWRAP(words.Finish()));
  }
  RoundTrip(region, "dictionary", arrow::Table::Make(arrow::schema({arrow::field("d", chunks[0]->type())}),
                                                     {std::make_shared<arrow::ChunkedArray>(chunks)}));
}

void Foreign(csm::Region* region) {
  auto* heap = arrow::default_memory_pool();
  auto* pool = region->memory_pool();
  const auto outside = Numbers(heap, 0, 1000);
  auto report = UNWRAP(region->Publish("outside", OneColumn(outside)));
  CHECK_EQ(report.bytes_copied, 8000u);
  CHECK_EQ(report.bytes_in_place, 0u);
  auto opened = UNWRAP(region->OpenTable("outside"));
  CHECK(opened->Equals(*OneColumn(outside)));
  for (const uintptr_t address : test::AddressesOf(*opened)) {
    CHECK(address == 0 || region->Contains(reinterpret_cast<const void*>(address)));
  }

  // Only what lies outside is copied.
  auto schema = arrow::schema({arrow::field("in", arrow::int64()), arrow::field("out", arrow::int64())});
  const auto mixed = arrow::Table::Make(schema, {Numbers(pool, 0, 500), outside->Slice(0, 500)});
  report = UNWRAP(region->Publish("mixed", mixed));
  CHECK_EQ(report.bytes_in_place, 4000u);
  CHECK(report.bytes_copied >= 4000 && report.bytes_copied <= 8000);

  // A part of somebody's memory that is not aligned as Arrow wants it, in the region or not.
  auto bytes = std::shared_ptr<arrow::Buffer>(UNWRAP(arrow::AllocateBuffer(8 * 100 + 1, pool)));
  std::fill(bytes->mutable_data(), bytes->mutable_data() + bytes->size(), uint8_t{1});
  const auto misaligned = arrow::SliceBuffer(bytes, 1, 800);
  auto odd = arrow::MakeArray(arrow::ArrayData::Make(arrow::int64(), 100, {nullptr, misaligned}));
  report = UNWRAP(region->Publish("odd", OneColumn(odd)));
  opened = UNWRAP(region->OpenTable("odd"));
  CHECK(opened->Equals(*OneColumn(odd)));
  CHECK_EQ(test::AddressesOf(*opened)[1] % 8, 0u);
}

void Empty(csm::Region* region) {
  auto schema = arrow::schema({arrow::field("n", arrow::int64()), arrow::field("w", arrow::utf8())},
                              arrow::KeyValueMetadata::Make({"k"}, {"v"}));
  const arrow::RecordBatchVector none;
  RoundTrip(region, "no chunks", UNWRAP(arrow::Table::FromRecordBatches(schema, none)));
  RoundTrip(region, "no rows", UNWRAP(arrow::Table::MakeEmpty(schema)));
  CHECK_OK(region->Publish("empty batch", UNWRAP(arrow::RecordBatch::MakeEmpty(schema))).status());
  CHECK_EQ(UNWRAP(region->OpenTable("empty batch"))->num_rows(), 0);
  const auto no_fields = arrow::schema(arrow::FieldVector{});
  RoundTrip(region, "no columns", arrow::Table::Make(no_fields, arrow::ChunkedArrayVector{}, 0));
  auto bare = arrow::RecordBatch::Make(no_fields, 17, arrow::ArrayVector{});
  CHECK_EQ(UNWRAP(region->Publish("rows without columns", bare)).rows, 17u);
  CHECK_EQ(UNWRAP(UNWRAP(region->OpenLease("rows without columns"))->Batch(0))->num_rows(), 17);
}

void Names(csm::Region* region) {
  const auto table = OneColumn(Numbers(region->memory_pool(), 0, 10));
  const std::vector<std::string> names = {" ", "a/b?c=d&e%f\n", "\xe8\xa1\xa8", std::string(255, 'n')};
  for (const std::string& name : names) {
    CHECK_OK(region->Publish(name, table).status());
    CHECK_OK(region->OpenTable(name).status());
    CHECK_FAILS(region->Publish(name, table), CSM_E_NAME_TAKEN, IsAlreadyExists);
  }
  CHECK_FAILS(region->Publish("", table), CSM_E_BAD_NAME, IsInvalid);
  CHECK_FAILS(region->Publish(std::string(256, 'n'), table), CSM_E_BAD_NAME, IsInvalid);
  CHECK_FAILS(region->Publish("\xff\xfe", table), CSM_E_BAD_NAME, IsInvalid);
  CHECK_FAILS(region->Publish(std::string("a\0b", 3), table), CSM_E_INVALID_ARGUMENT, IsInvalid);
  CHECK_FAILS(region->OpenTable("missing"), CSM_E_NAME_NOT_FOUND, IsKeyError);
  CHECK_FAILS(region->OpenReader("missing"), CSM_E_NAME_NOT_FOUND, IsKeyError);
  CHECK_FAILS(region->Remove("missing"), CSM_E_NAME_NOT_FOUND, IsKeyError);
  CHECK_FAILS(region->Wait("missing", milliseconds(1)), CSM_E_TIMED_OUT, IsIOError);
  CHECK_FAILS(region->Wait("missing", milliseconds(-1)), CSM_E_TIMED_OUT, IsIOError);
  // The message names what it is about.
  CHECK(region->OpenTable("missing").status().message().find("missing") != std::string::npos);

  bool listed = false;
  for (const auto& info : UNWRAP(region->List())) listed |= info.name == std::string(255, 'n') && info.rows == 10;
  CHECK(listed);
}

void ReplaceAndRemove(csm::Region* region) {
  auto* pool = region->memory_pool();
  const auto first = OneColumn(Numbers(arrow::default_memory_pool(), 0, 10'000));
  const auto second = OneColumn(Numbers(arrow::default_memory_pool(), 5, 20'000));
  CHECK_OK(region->Publish("changing", first).status());
  auto old_lease = UNWRAP(region->OpenLease("changing"));
  auto old_table = UNWRAP(old_lease->ToTable());
  CHECK(UNWRAP(old_lease->IsCurrent()));

  csm::PublishOptions replace;
  replace.replace = true;
  const auto report = UNWRAP(region->Publish("changing", second, replace));
  CHECK(!UNWRAP(old_lease->IsCurrent()));
  CHECK_OK(old_lease->Check());
  CHECK(UNWRAP(region->OpenTable("changing"))->Equals(*second));
  CHECK_EQ(UNWRAP(UNWRAP(region->OpenLease("changing"))->Info()).generation, report.generation);

  // The old one is whole while it is read, whatever is allocated meanwhile.
  old_lease.reset();
  std::vector<std::shared_ptr<arrow::Array>> noise;
  for (int i = 0; i < 100; ++i) noise.push_back(Numbers(pool, -1000, 10'000));
  CHECK(old_table->Equals(*first));
  CHECK_EQ(UNWRAP(region->Stats()).retired, 1u);
  old_table.reset();
  noise.clear();

  auto table = UNWRAP(region->OpenTable("changing"));
  CHECK_OK(region->Remove("changing"));
  CHECK_FAILS(region->OpenTable("changing"), CSM_E_NAME_NOT_FOUND, IsKeyError);
  CHECK(table->Equals(*second));
  CHECK_OK(region->Publish("changing", table).status());
  auto lease = UNWRAP(region->OpenLease("changing"));
  for (int i = 0; i < 2; ++i) CHECK(UNWRAP(UNWRAP(lease->ToReader())->ToTable())->Equals(*second));
  CHECK(UNWRAP(lease->Schema())->Equals(*second->schema()));
}

// A reader that fails half way publishes nothing.
class FailingReader : public arrow::RecordBatchReader {
 public:
  explicit FailingReader(std::shared_ptr<arrow::RecordBatch> batch) : batch_(std::move(batch)) {}
  std::shared_ptr<arrow::Schema> schema() const override { return batch_->schema(); }
  arrow::Status ReadNext(std::shared_ptr<arrow::RecordBatch>* batch) override {
    if (count_++ == 2) return arrow::Status::IOError("the source broke off");
    *batch = batch_;
    return arrow::Status::OK();
  }

 private:
  std::shared_ptr<arrow::RecordBatch> batch_;
  int count_ = 0;
};

void Failures(csm::Region* region) {
  auto batch = arrow::RecordBatch::Make(arrow::schema({arrow::field("x", arrow::int64())}), 10,
                                        {Numbers(region->memory_pool(), 0, 10)});
  const auto status = region->Publish("broken", std::make_shared<FailingReader>(batch)).status();
  CHECK_FAILS(status, CSM_E_BAD_ARROW, IsInvalid);
  CHECK(status.message().find("the source broke off") != std::string::npos);
  CHECK_FAILS(region->OpenTable("broken"), CSM_E_NAME_NOT_FOUND, IsKeyError);

  // Copying in what does not fit: an error, and not a byte lost.
  const auto live = UNWRAP(region->Stats()).live_bytes;
  auto large = std::shared_ptr<arrow::Buffer>(UNWRAP(arrow::AllocateBuffer(int64_t{300} << 20)));
  auto array = arrow::MakeArray(arrow::ArrayData::Make(arrow::int8(), large->size(), {nullptr, large}));
  CHECK_FAILS(region->Publish("large", OneColumn(array)), CSM_E_REGION_FULL, IsOutOfMemory);
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, live);

  // What only a full validation sees.
  auto offsets = std::shared_ptr<arrow::Buffer>(UNWRAP(arrow::AllocateBuffer(12, region->memory_pool())));
  auto* values = reinterpret_cast<int32_t*>(offsets->mutable_data());
  values[0] = 0, values[1] = 900, values[2] = 5;
  auto bytes = std::shared_ptr<arrow::Buffer>(UNWRAP(arrow::AllocateBuffer(5, region->memory_pool())));
  auto wrong = arrow::MakeArray(arrow::ArrayData::Make(arrow::binary(), 2, {nullptr, offsets, bytes}));
  if (region->Publish("wrong", OneColumn(wrong)).ok()) {
    csm::OpenOptions validate;
    validate.validate = true;
    CHECK_FAILS(region->OpenTable("wrong", validate), CSM_E_BAD_ARROW, IsInvalid);
    CHECK_FAILS(UNWRAP(region->OpenLease("wrong"))->Validate(), CSM_E_BAD_ARROW, IsInvalid);
  }
}

int Writer(const std::string& uri) {
  auto region = UNWRAP(csm::Region::Open(uri));
  ManyChunks(region.get());
  SlicesAndSharing(region.get());
  Foreign(region.get());
  Empty(region.get());
  Names(region.get());
  ReplaceAndRemove(region.get());
  Failures(region.get());
  return 0;
}

// A table outlives its Region, its lease, its name and its publisher; dies on another thread; and
// its memory returns then.
int Reader(const std::string& uri) {
  auto context = UNWRAP(csm::Context::Make());
  auto region = UNWRAP(csm::Region::Open(uri, context));
  CHECK_OK(region->Wait("late", seconds(100)));
  auto table = UNWRAP(region->OpenTable("late"));
  auto reader = UNWRAP(region->OpenReader("late"));
  CHECK_OK(region->Remove("late"));
  CHECK_OK(region->Publish("seen", OneColumn(Numbers(arrow::default_memory_pool(), 0, 1))).status());
  CHECK_OK(region->Close());
  CHECK_FAILS(region->OpenTable("late"), CSM_E_CLOSED, IsInvalid);
  CHECK_FAILS(region->Publish("more", table), CSM_E_CLOSED, IsInvalid);
  region.reset();
  context.reset();
  CHECK(UNWRAP(reader->ToTable())->Equals(*table));
  reader.reset();
  int64_t sum = 0;
  for (const auto& chunk : table->column(0)->chunks()) {
    const auto& values = static_cast<const arrow::Int64Array&>(*chunk);
    for (int64_t i = 0; i < values.length(); ++i) sum += values.Value(i);
  }
  CHECK_EQ(sum, 999 * 1000 / 2);
  std::thread([table = std::move(table)]() mutable { table.reset(); }).join();

  region = UNWRAP(csm::Region::Open(uri));
  CHECK_EQ(UNWRAP(region->Stats()).leases, 0u);
  return 0;
}

}  // namespace

int Test(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) return arguments[0] == "write" ? Writer(arguments[1]) : Reader(arguments[1]);
  test::ScratchRegion scratch("size=256M");
  test::Run({"write", scratch.uri()});

  auto region = UNWRAP(csm::Region::Open(scratch.uri()));
  for (const auto& info : UNWRAP(region->List())) CHECK_OK(region->Remove(info.name));
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, 0u);

  const pid_t reader = test::Start({"read", scratch.uri()});
  CHECK_OK(region->Publish("late", OneColumn(Numbers(arrow::default_memory_pool(), 0, 1000))).status());
  CHECK_OK(region->Wait("seen", seconds(100)));
  test::Join(reader);
  CHECK_OK(region->Remove("seen"));
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, 0u);
  CHECK_EQ(UNWRAP(region->Verify()).problems, 0u);
  return 0;
}
