// SPDX-License-Identifier: Apache-2.0
// Several processes with several threads publish, replace, remove and read the same names at once.
// Every table that is ever seen is whole: all its values, in both columns, are of one generation.

#include "check.hpp"

#include <atomic>
#include <thread>

namespace {

constexpr int kNames = 3, kThreads = 2, kProcesses = 2, kRounds = 150;

std::string NameOf(int i) { return "name " + std::to_string(i % kNames); }

// Rows and values follow from the stamp.
std::shared_ptr<arrow::RecordBatch> Stamped(arrow::MemoryPool* pool, int64_t stamp) {
  const int64_t rows = 1 + stamp * 37 % 3000;
  arrow::Int64Builder numbers(pool);
  arrow::StringBuilder words(pool);
  for (int64_t i = 0; i < rows; ++i) {
    CHECK_OK(numbers.Append(stamp));
    CHECK_OK(words.Append(std::to_string(stamp)));
  }
  auto schema = arrow::schema({arrow::field("n", arrow::int64()), arrow::field("w", arrow::utf8())});
  return arrow::RecordBatch::Make(schema, rows, {UNWRAP(numbers.Finish()), UNWRAP(words.Finish())});
}

void CheckWhole(const arrow::Table& table) {
  CHECK_EQ(table.column(0)->num_chunks(), 1);
  const auto& numbers = static_cast<const arrow::Int64Array&>(*table.column(0)->chunk(0));
  const auto& words = static_cast<const arrow::StringArray&>(*table.column(1)->chunk(0));
  const int64_t stamp = numbers.Value(0);
  CHECK_EQ(table.num_rows(), 1 + stamp * 37 % 3000);
  const std::string text = std::to_string(stamp);
  for (int64_t i = 0; i < table.num_rows(); ++i) {
    CHECK_EQ(numbers.Value(i), stamp);
    CHECK(words.GetView(i) == text);
  }
}

int Work(const std::string& uri, int process) {
  auto region = UNWRAP(csm::Region::Open(uri));
  std::atomic<int> seen{0};
  const auto write = [&](int thread) {
    csm::PublishOptions replace;
    replace.replace = true;
    for (int i = 0; i < kRounds; ++i) {
      // Some of it copied in, most of it built in place.
      auto* pool = i % 10 == 0 ? arrow::default_memory_pool() : region->memory_pool();
      const int64_t stamp = (process * kThreads + thread) * 1'000'000 + i;
      CHECK_OK(region->Publish(NameOf(i), Stamped(pool, stamp), replace).status());
      if (i % 20 == 19) {
        const auto status = region->Remove(NameOf(i));
        CHECK(status.ok() || csm::CodeOf(status) == CSM_E_NAME_NOT_FOUND);
      }
    }
  };
  const auto read = [&](int) {
    std::vector<std::shared_ptr<arrow::Table>> held(5);
    for (int i = 0; i < kRounds * 3; ++i) {
      auto table = region->OpenTable(NameOf(i));
      if (csm::CodeOf(table.status()) == CSM_E_NAME_NOT_FOUND) continue;
      auto& place = held[static_cast<size_t>(i) % held.size()];
      if (place != nullptr) CheckWhole(*place);  // long after it was replaced
      place = UNWRAP(table);
      CheckWhole(*place);
      ++seen;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back(write, i);
    threads.emplace_back(read, i);
  }
  for (auto& thread : threads) thread.join();
  std::cout << seen << " tables seen" << std::endl;
  return 0;
}

}  // namespace

int Test(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) return Work(arguments[0], std::stoi(arguments[1]));
  test::ScratchRegion scratch("size=64M");
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) children.push_back(test::Start({scratch.uri(), std::to_string(i)}));
  for (const pid_t child : children) test::Join(child);

  auto region = UNWRAP(csm::Region::Open(scratch.uri()));
  for (const auto& info : UNWRAP(region->List())) {
    CheckWhole(*UNWRAP(region->OpenTable(info.name)));
    CHECK_OK(region->Remove(info.name));
  }
  CHECK_EQ(UNWRAP(region->Stats()).leases, 0u);
  CHECK_EQ(UNWRAP(region->Stats()).retired, 0u);
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, 0u);
  CHECK_EQ(UNWRAP(region->Verify()).problems, 0u);
  return 0;
}
