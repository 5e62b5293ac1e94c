// SPDX-License-Identifier: Apache-2.0
// Every Arrow type, built in the region by one process and read in place by another: the values are
// equal, no buffer has moved, and nothing was copied. Each type as a plain column, then nested in
// each kind of nested type, then tables drawn at random.

#include "random_arrays.hpp"

#include <fstream>
#include <iterator>
#include <sstream>

namespace {

constexpr uint64_t kRandomTables = 60;

struct Case {
  std::string name;
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
  std::shared_ptr<arrow::Schema> schema;
};

std::shared_ptr<arrow::Table> TableOf(const Case& one) {
  return UNWRAP(arrow::Table::FromRecordBatches(one.schema, one.batches));
}

// The full validation of Arrow before 18 misreads an extension type over decimals.
template <class Tabular>
void CheckValid(const std::string& name, const Tabular& tabular) {
  const auto status = ARROW_VERSION_MAJOR < 18 ? tabular.Validate() : tabular.ValidateFull();
  if (!status.ok()) test::Fail(__FILE__, __LINE__, name + ": " + status.ToString());
}

Case MakeCase(std::string name, test::RandomArrays* random, const arrow::FieldVector& fields, int64_t most_batches,
              int64_t most_rows) {
  Case one{std::move(name), {}, arrow::schema(fields, arrow::KeyValueMetadata::Make({"of"}, {"schema \xc3\xa4"}))};
  const int64_t batches = most_batches == 1 ? 1 : random->Draw(most_batches);
  for (int64_t batch = 0; batch < batches; ++batch) {
    const int64_t rows = most_batches == 1 ? most_rows : random->Draw(most_rows);
    arrow::ArrayVector columns;
    for (const auto& field : fields) columns.push_back(random->Make(field->type(), rows));
    one.batches.push_back(arrow::RecordBatch::Make(one.schema, rows, columns));
    CheckValid(one.name, *one.batches.back());
  }
  return one;
}

#if ARROW_VERSION_MAJOR >= 15 && ARROW_VERSION_MAJOR < 21
// What this Arrow would export wrongly is refused.
void CheckRefusals(csm::Region* region) {
  auto type = arrow::list(std::make_shared<test::Tagged>(arrow::utf8_view()));
  auto table = UNWRAP(arrow::Table::FromRecordBatches(arrow::schema({arrow::field("x", type)}), {}));
  CHECK(region->Publish("views", table).status().IsNotImplemented());
}
#else
void CheckRefusals(csm::Region*) {}
#endif

// The same in every process, but for the pool.
std::vector<Case> Cases(arrow::MemoryPool* pool) {
  std::vector<Case> cases;
  uint64_t seed = 1;
  const auto metadata = arrow::KeyValueMetadata::Make({"unit", ""}, {"m/s", std::string("a\0b", 3)});
  for (const auto& leaf : test::LeafTypes()) {
    for (int64_t rows : {0, 1, 100}) {
      test::RandomArrays random(seed++, pool);
      auto name = leaf->ToString() + ", rows: " + std::to_string(rows);
      cases.push_back(MakeCase(name, &random, {arrow::field("x", leaf, true, metadata)}, 1, rows));
    }
    test::RandomArrays random(seed++, pool);
    for (const auto& nested : random.Nested(leaf)) {
      cases.push_back(MakeCase(nested->ToString(), &random, {arrow::field("x", nested)}, 1, 40));
    }
  }
  for (uint64_t i = 0; i < kRandomTables; ++i) {
    test::RandomArrays random(seed++, pool);
    arrow::FieldVector fields;
    for (int64_t column = random.Draw(4); column >= 0; --column) {
      fields.push_back(arrow::field("column " + std::to_string(column), random.Type(3)));
    }
    cases.push_back(MakeCase("random " + std::to_string(i), &random, fields, 4, 50));
  }
  // Names are limited; types are not.
  for (size_t i = 0; i < cases.size(); ++i) cases[i].name = std::to_string(i) + " " + cases[i].name.substr(0, 200);
  return cases;
}

int Publish(const std::string& uri, const std::string& addresses_path) {
  auto region = UNWRAP(csm::Region::Open(uri));
  CheckRefusals(region.get());
  std::ofstream addresses_file(addresses_path);
  auto cases = Cases(region->memory_pool());
  for (size_t i = 0; i < cases.size(); ++i) {
    auto& one = cases[i];
    auto table = TableOf(one);
    // Batch, table and reader take turns.
    const auto report = UNWRAP(
        one.batches.size() == 1 && i % 2 == 0 ? region->Publish(one.name, one.batches[0])
        : i % 3 == 0 ? region->Publish(one.name, UNWRAP(arrow::RecordBatchReader::Make(one.batches, one.schema)))
                     : region->Publish(one.name, table));
    if (report.bytes_copied != 0) test::Fail(__FILE__, __LINE__, one.name + ": bytes were copied");
    CHECK_EQ(report.rows, static_cast<uint64_t>(table->num_rows()));
    for (const uintptr_t address : test::AddressesOf(*table)) addresses_file << address << ' ';
    addresses_file << '\n';
    one.batches.clear();  // what was published stays
  }
  return 0;
}

int Open(const std::string& uri, const std::string& addresses_path) {
  auto region = UNWRAP(csm::Region::Open(uri));
  std::ifstream addresses_file(addresses_path);
  size_t in_place = 0;
  const auto cases = Cases(arrow::default_memory_pool());
  for (const auto& one : cases) {
    csm::OpenOptions options;
    options.validate = true;
    const auto expected = TableOf(one);
    const auto table = UNWRAP(region->OpenTable(one.name, options));
    // Arrow before 15 leaves the extension in the field's metadata.
    if (!table->Equals(*expected, /*check_metadata=*/ARROW_VERSION_MAJOR >= 15)) {
      test::Fail(__FILE__, __LINE__, one.name + ": read " + table->ToString() + " instead of " + expected->ToString());
    }
    CheckValid(one.name, *table);

    std::string line;
    std::getline(addresses_file, line);
    std::istringstream published(line);
    in_place += test::CountInPlace(*table, {std::istream_iterator<uintptr_t>(published), {}});
  }
  CHECK_EQ(UNWRAP(region->List()).size(), cases.size());
  CHECK(in_place > cases.size());
  std::cout << cases.size() << " tables, " << in_place << " buffers in place" << std::endl;
  return 0;
}

}  // namespace

int Test(const std::vector<std::string>& arguments) {
  test::Tagged::Register();
  if (!arguments.empty()) {
    return arguments[0] == "publish" ? Publish(arguments[1], arguments[2]) : Open(arguments[1], arguments[2]);
  }

  test::ScratchRegion scratch("size=64M");
  const test::ScratchFile addresses;
  test::Run({"publish", scratch.uri(), addresses.path()});
  test::Run({"open", scratch.uri(), addresses.path()});

  // Once the names are gone, so is everything.
  auto region = UNWRAP(csm::Region::Open(scratch.uri()));
  for (const auto& table : UNWRAP(region->List())) CHECK_OK(region->Remove(table.name));
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, 0u);
  CHECK_EQ(UNWRAP(region->Verify()).problems, 0u);
  return 0;
}
