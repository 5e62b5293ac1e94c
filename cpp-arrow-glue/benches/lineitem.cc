// SPDX-License-Identifier: Apache-2.0
// Arrow's CSV reader on TPC-H lineitem, into a region's pool and into Arrow's default pool.
//
// Cold: the first read of a new process; the region's memory was allocated when it was created, but no page of it
// is mapped yet. Warm: the third read of the same process. The pools take turns; medians and their ratio.
//
//   lineitem LINEITEM.csv        or: lineitem LINEITEM.csv --child URI|default

#include <csm/arrow.hpp>

#include <arrow/api.h>
#include <arrow/csv/api.h>
#include <arrow/io/api.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr int kProcesses = 5;

arrow::Result<double> ReadOnce(const std::string& path, arrow::MemoryPool* pool) {
  const auto start = std::chrono::steady_clock::now();
  ARROW_ASSIGN_OR_RAISE(auto input, arrow::io::ReadableFile::Open(path, pool));
  const arrow::io::IOContext context(pool);
  ARROW_ASSIGN_OR_RAISE(auto reader, arrow::csv::TableReader::Make(context, input, arrow::csv::ReadOptions::Defaults(),
                                                                   arrow::csv::ParseOptions::Defaults(),
                                                                   arrow::csv::ConvertOptions::Defaults()));
  ARROW_ASSIGN_OR_RAISE(auto table, reader->Read());
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  if (table->num_rows() == 0) return arrow::Status::Invalid("no rows in ", path);
  return taken.count();
}

// Prints the first and the third read's seconds.
arrow::Status Child(const std::string& path, const std::string& where) {
  arrow::MemoryPool* pool = arrow::default_memory_pool();
  if (where != "default") {
    ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(where));
    pool = region->memory_pool();
  }
  ARROW_ASSIGN_OR_RAISE(const double cold, ReadOnce(path, pool));
  ARROW_RETURN_NOT_OK(ReadOnce(path, pool).status());
  ARROW_ASSIGN_OR_RAISE(const double warm, ReadOnce(path, pool));
  std::cout << cold << ' ' << warm << std::endl;
  return arrow::Status::OK();
}

arrow::Result<std::array<double, 2>> RunChild(const std::string& command) {
  std::array<double, 2> seconds{};
  FILE* child = popen(command.c_str(), "r");
  if (child == nullptr) return arrow::Status::IOError("popen");
  const int numbers = std::fscanf(child, "%lf %lf", &seconds[0], &seconds[1]);
  if (pclose(child) != 0 || numbers != 2) return arrow::Status::UnknownError("failed: ", command);
  return seconds;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

arrow::Status Measure(const std::string& program, const std::string& path) {
  std::cout << "Arrow reads lineitem, seconds, median of " << kProcesses << " processes each\n";
  std::vector<double> own[2], region[2];
  const std::string command = "'" + program + "' '" + path + "' --child ";
  for (int i = 0; i < kProcesses; ++i) {
    const std::string uri = "shm:bench-lineitem-" + std::to_string(getpid()) + "-" + std::to_string(i);
    ARROW_RETURN_NOT_OK(csm::Region::Create(uri + "?size=4G").status());
    auto in_region = RunChild(command + uri);
    ARROW_RETURN_NOT_OK(csm::Region::Destroy(uri));
    ARROW_RETURN_NOT_OK(in_region.status());
    ARROW_ASSIGN_OR_RAISE(auto in_own, RunChild(command + "default"));
    for (int k = 0; k < 2; ++k) {
      region[k].push_back((*in_region)[k]);
      own[k].push_back(in_own[k]);
    }
  }
  for (int k = 0; k < 2; ++k) {
    const double ratio = Median(region[k]) / Median(own[k]);
    std::printf("%s: region %.3f s, default pool %.3f s, ratio %.3f (goal 1.05, %s)\n", k == 0 ? "cold" : "warm",
                Median(region[k]), Median(own[k]), ratio, ratio <= 1.05 ? "met" : "MISSED");
  }
  return arrow::Status::OK();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: lineitem LINEITEM.csv\n";
    return 2;
  }
  const bool child = argc == 4 && std::string(argv[2]) == "--child";
  const arrow::Status status = child ? Child(argv[1], argv[3]) : Measure(argv[0], argv[1]);
  if (!status.ok()) std::cerr << "lineitem: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
