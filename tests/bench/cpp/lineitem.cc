// SPDX-License-Identifier: Apache-2.0
// Arrow's CSV reader on TPC-H lineitem, into a region's pool and into Arrow's own pools.
//
// Cold: the first read of a new process; the region's memory was allocated when it was created,
// and zeroed, but no page of it is mapped yet. Warm: the reads after it in the same process. The pools take turns.
//
//   lineitem LINEITEM.csv [--quick]        or, as its own child: lineitem LINEITEM.csv --child URI|POOL BYTES

#include "csv.hpp"
#include "pools.hpp"

#include <csm/arrow.hpp>

#include <arrow/api.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr int kReads = 3;

// What every reading of the same file must agree on.
arrow::Result<int64_t> SumOfQuantities(const arrow::Table& lineitem) {
  const auto column = lineitem.GetColumnByName("l_quantity");
  if (column == nullptr || column->type()->id() != arrow::Type::INT64) return arrow::Status::TypeError("no l_quantity");
  int64_t sum = 0;
  for (const auto& chunk : column->chunks()) {
    const auto& values = static_cast<const arrow::Int64Array&>(*chunk);
    for (int64_t i = 0; i < values.length(); ++i) sum += values.Value(i);
  }
  return sum;
}

arrow::Status Child(const std::string& path, const std::string& where, int64_t bytes) {
  ARROW_ASSIGN_OR_RAISE(const auto place, bench::Open(where, "build"));
  for (int i = 0; i < kReads; ++i) {
    const int64_t start = bench::NowNs();
    ARROW_ASSIGN_OR_RAISE(auto table, bench::ReadCsv(path, bytes, place.pool));
    const int64_t end = bench::NowNs();
    if (table->num_rows() == 0) return arrow::Status::Invalid("no rows in ", path);
    ARROW_ASSIGN_OR_RAISE(const int64_t sum, SumOfQuantities(*table));
    std::cout << "read " << end - start << ' ' << sum << std::endl;
  }
  return arrow::Status::OK();
}

// `sum` is the first reading's; 0: this is the first.
arrow::Status RunChild(const std::string& command, bench::What what, int64_t* sum, bench::Recorder* recorder) {
  FILE* child = popen(command.c_str(), "r");
  if (child == nullptr) return arrow::Status::IOError("popen");
  char line[256];
  int reads = 0;
  bool wrong = false;
  while (std::fgets(line, sizeof line, child) != nullptr) {
    double ns = 0;
    long long its_sum = 0;
    if (std::sscanf(line, "read %lf %lld", &ns, &its_sum) != 2) continue;
    if (*sum == 0) *sum = its_sum;
    wrong = wrong || its_sum != *sum;
    what.warm = reads++ > 0;
    recorder->Add(what, ns / 1e9);
  }
  if (pclose(child) != 0 || reads != kReads) return arrow::Status::UnknownError("failed: ", command);
  if (wrong) return arrow::Status::Invalid("l_quantity's sum is not the first reading's: ", command);
  return arrow::Status::OK();
}

arrow::Status Measure(const std::string& program, const std::string& path, bool quick) {
  bench::Recorder recorder;
  const int64_t bytes = quick ? int64_t{80} << 20 : 0;
  const auto pools = bench::ArrowPools("build");
  bench::What what;
  what.work = "build";
  what.variant = quick ? "80 MiB of CSV" : "scale 1, 0.7 GiB of CSV";
  what.step = "read lineitem";
  const std::string includes =
      "Arrow's CSV reader, all threads, from the page cache to a table of 16 columns; not publishing";
  int64_t sum = 0;
  for (int session = 0; session < (quick ? 2 : 5); ++session) {
    const std::string uri = "shm:bench-lineitem-" + std::to_string(getpid());
    std::vector<std::string> wheres = {uri};
    for (const auto& pool : pools) wheres.push_back(pool.first);
    for (const auto& where : wheres) {
      const bool ours = where == uri;
      if (ours) ARROW_RETURN_NOT_OK(csm::Region::Create(uri + (quick ? "?size=1G" : "?size=4G")).status());
      what.who = ours ? "libcsm" : where;
      what.includes = includes + (ours ? "; the region was made, and its memory zeroed, before" : "");
      const auto status = RunChild("'" + program + "' '" + path + "' --child \"" + where + "\" " + std::to_string(bytes),
                                   what, &sum, &recorder);
      if (ours) ARROW_RETURN_NOT_OK(csm::Region::Destroy(uri));
      ARROW_RETURN_NOT_OK(status);
    }
  }
  recorder.Print();
  if (quick) bench::PrintMissing("build", "all of lineitem, 0.7 GiB of CSV", "left out by QUICK=1");
  return arrow::Status::OK();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: lineitem LINEITEM.csv [--quick]\n";
    return 2;
  }
  const bool child = argc == 5 && std::strcmp(argv[2], "--child") == 0;
  const arrow::Status status = child ? Child(argv[1], argv[3], std::atoll(argv[4]))
                                     : Measure(argv[0], argv[1], argc == 3 && std::strcmp(argv[2], "--quick") == 0);
  if (!status.ok()) std::cerr << "lineitem: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
