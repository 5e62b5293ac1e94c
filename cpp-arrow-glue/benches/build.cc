// SPDX-License-Identifier: Apache-2.0
// Arrow's builders make a table of three columns, 1 GiB together, in a region on a link that keeps no caches coherent
// (coherence=lc: real write-backs, on this machine's memory) and publish it, beside the same build in Arrow's default
// pool. Both warm: memory that the process has used before. The two take turns; medians, and the median of ratios.

#include <csm/arrow.hpp>

#include <arrow/api.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr int64_t kRows = (int64_t{1} << 30) / 24;
constexpr int kRuns = 9;

arrow::Result<std::shared_ptr<arrow::RecordBatch>> Build(arrow::MemoryPool* pool, int64_t seed) {
  arrow::Int64Builder ids(pool), times(pool);
  arrow::DoubleBuilder prices(pool);
  ARROW_RETURN_NOT_OK(ids.Reserve(kRows));
  ARROW_RETURN_NOT_OK(times.Reserve(kRows));
  ARROW_RETURN_NOT_OK(prices.Reserve(kRows));
  for (int64_t i = 0; i < kRows; ++i) {
    ids.UnsafeAppend(i + seed);
    times.UnsafeAppend(i * 7);
    prices.UnsafeAppend(static_cast<double>(i) * 0.25);
  }
  ARROW_ASSIGN_OR_RAISE(auto id, ids.Finish());
  ARROW_ASSIGN_OR_RAISE(auto time, times.Finish());
  ARROW_ASSIGN_OR_RAISE(auto price, prices.Finish());
  auto schema = arrow::schema({arrow::field("id", arrow::int64()), arrow::field("time", arrow::int64()),
                               arrow::field("price", arrow::float64())});
  return arrow::RecordBatch::Make(schema, kRows, {id, time, price});
}

double Milliseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - since).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

arrow::Status Measure(const std::string& uri) {
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  std::vector<double> with, without, publishing, ratios;
  csm::PublishOptions replace;
  replace.replace = true;
  // The first rounds warm both pools: no page is touched for the first time after them.
  for (int run = -2; run < kRuns; ++run) {
    auto start = std::chrono::steady_clock::now();
    ARROW_ASSIGN_OR_RAISE(auto own, Build(arrow::default_memory_pool(), run));
    const double own_ms = Milliseconds(start);
    own.reset();
    start = std::chrono::steady_clock::now();
    ARROW_ASSIGN_OR_RAISE(auto shared, Build(region->memory_pool(), run));
    const auto built = std::chrono::steady_clock::now();
    ARROW_ASSIGN_OR_RAISE(auto report, region->Publish("built", *shared, replace));
    const double publish_ms = Milliseconds(built), shared_ms = Milliseconds(start);
    if (report.bytes_copied != 0) return arrow::Status::Invalid("it was copied");
    shared.reset();
    ARROW_RETURN_NOT_OK(region->Remove("built"));
    if (run < 0) continue;
    with.push_back(shared_ms);
    without.push_back(own_ms);
    publishing.push_back(publish_ms);
    ratios.push_back(shared_ms / own_ms);
  }
  const double ratio = Median(ratios);
  std::printf(
      "build and publish 1 GiB, 3 columns, LC: region %.0f ms (of these, publish %.1f ms), default pool %.0f ms, "
      "ratio %.2f  goal 1.10, %s\n",
      Median(with), Median(publishing), Median(without), ratio, ratio <= 1.10 ? "met" : "MISSED");
  return arrow::Status::OK();
}

}  // namespace

int main(int argc, char** argv) {
  // The pool keeps its region to the end of the process, so another one makes and destroys it.
  if (argc == 2 && std::string(argv[1]).rfind("shm:", 0) == 0) {
    const auto status = Measure(argv[1]);
    if (!status.ok()) std::cerr << status.ToString() << std::endl;
    return status.ok() ? 0 : 1;
  }
  const std::string uri = "shm:bench-build-" + std::to_string(getpid());
  const auto created = csm::Region::Create(uri + "?size=2500M&coherence=lc&hugepages=thp").status();
  if (!created.ok()) {
    std::cerr << created.ToString() << std::endl;
    return 1;
  }
  const int failed = std::system(("'" + std::string(argv[0]) + "' " + uri).c_str());
  return csm::Region::Destroy(uri).ok() && failed == 0 ? 0 : 1;
}
