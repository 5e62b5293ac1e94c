// SPDX-License-Identifier: Apache-2.0
// Arrow's builders make a table in a region's pool and publish it, beside the same build in Arrow's own pools, which take
// turns. The reference's test table (int64, int8, uint16: 11 bytes a row), and three 8-byte columns.
//
//   build [--quick]        or, as its own child: build --child URI|POOL CASE BYTES ROUNDS
//
// A child is a fresh process that builds ROUNDS times in one pool: its first round is cold, the others are warm. On a link
// that keeps no caches coherent (coherence=lc: real write-backs) as well.

#include "pools.hpp"
#include "tables.hpp"

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

constexpr const char* kReference = "reference's table";
constexpr const char* kThree = "three 8-byte columns";
constexpr const char* kWithPublishing =
    "the builders' work and publishing; the region was made, and its memory zeroed, before";
constexpr int64_t kMib = 1 << 20;

arrow::Result<std::shared_ptr<arrow::RecordBatch>> Build(arrow::MemoryPool* pool, const std::string& variant,
                                                         int64_t bytes, int64_t seed) {
  if (variant == kReference) return bench::ReferenceTable(pool, bytes / bench::kReferenceRowBytes, seed);
  const int64_t rows = bytes / 24;
  ARROW_ASSIGN_OR_RAISE(auto first, (bench::Column<arrow::Int64Builder, int64_t>(pool, rows, seed)));
  ARROW_ASSIGN_OR_RAISE(auto second, (bench::Column<arrow::Int64Builder, int64_t>(pool, rows, seed * 7)));
  ARROW_ASSIGN_OR_RAISE(auto third, (bench::Column<arrow::DoubleBuilder, double>(pool, rows, seed)));
  auto schema = arrow::schema({arrow::field("c0", first->type()), arrow::field("c1", second->type()),
                               arrow::field("c2", third->type())});
  return arrow::RecordBatch::Make(std::move(schema), rows, {first, second, third});
}

// Prints two numbers a round, in nanoseconds: the build with publishing, and publishing alone.
arrow::Status Child(const std::string& where, const std::string& variant, int64_t bytes, int64_t rounds) {
  ARROW_ASSIGN_OR_RAISE(const auto place, bench::Open(where, "build"));
  for (int64_t round = 0; round < rounds; ++round) {
    const int64_t start = bench::NowNs();
    ARROW_ASSIGN_OR_RAISE(auto batch, Build(place.pool, variant, bytes, round));
    const int64_t built = bench::NowNs();
    int64_t end = built;
    if (place.region != nullptr) {
      ARROW_ASSIGN_OR_RAISE(const auto report, place.region->Publish("built", *batch));
      end = bench::NowNs();
      if (report.bytes_copied != 0) return arrow::Status::Invalid("it was copied");
      ARROW_RETURN_NOT_OK(place.region->Remove("built"));
    }
    batch.reset();
    std::cout << "round " << end - start << ' ' << end - built << std::endl;
  }
  return arrow::Status::OK();
}

struct Rival {
  std::string who, where;
};

arrow::Status RunChild(const std::string& program, const Rival& rival, const std::string& variant, int64_t mib,
                       int64_t rounds, bench::Recorder* recorder) {
  const std::string command = "'" + program + "' --child \"" + rival.where + "\" \"" + variant + "\" " +
                              std::to_string(mib * kMib) + " " + std::to_string(rounds);
  FILE* child = popen(command.c_str(), "r");
  if (child == nullptr) return arrow::Status::IOError("popen");
  char line[256];
  int64_t round = 0;
  while (std::fgets(line, sizeof line, child) != nullptr) {
    double total = 0, publish = 0;
    if (std::sscanf(line, "round %lf %lf", &total, &publish) != 2) continue;
    bench::What what;
    what.work = "build";
    what.variant = variant + ", " + std::to_string(mib) + " MiB";
    what.x = static_cast<double>(mib * kMib);
    what.who = rival.who;
    what.step = "build";
    what.warm = round > 0;
    what.includes = rival.who.rfind("libcsm", 0) == 0 ? kWithPublishing : "the builders' work";
    recorder->Add(what, total / 1e9);
    if (rival.who.rfind("libcsm", 0) == 0) {
      what.step = "publish what was built";
      what.includes = "publishing alone; it is part of build";
      recorder->Add(what, publish / 1e9);
    }
    ++round;
  }
  if (pclose(child) != 0 || round != rounds) return arrow::Status::UnknownError("failed: ", command);
  return arrow::Status::OK();
}

arrow::Status Measure(const std::string& program, bool quick) {
  bench::Recorder recorder;
  const auto pools = bench::ArrowPools("build");
  const int64_t sessions = quick ? 2 : 3, rounds = quick ? 4 : 6;
  for (const char* variant : {kReference, kThree}) {
    for (const int64_t mib : quick ? std::vector<int64_t>{100} : std::vector<int64_t>{1, 100, 1024}) {
      for (int64_t session = 0; session < sessions; ++session) {
        std::vector<std::pair<Rival, std::string>> rivals;
        const std::string name = "shm:bench-build-" + std::to_string(getpid());
        const std::string size = "?size=" + std::to_string((mib * 9 / 4 + 96) / 2 * 2) + "M";
        rivals.push_back({{"libcsm", name}, size});
        rivals.push_back({{"libcsm, huge pages", name}, size + "&hugepages=thp"});
        rivals.push_back({{"libcsm, coherence=lc", name}, size + "&coherence=lc"});
        for (const auto& pool : pools) rivals.push_back({{pool.first, pool.first}, ""});
        for (const auto& [rival, options] : rivals) {
          if (!options.empty()) ARROW_RETURN_NOT_OK(csm::Region::Create(name + options).status());
          const auto status = RunChild(program, rival, variant, mib, rounds, &recorder);
          if (!options.empty()) ARROW_RETURN_NOT_OK(csm::Region::Destroy(name));
          ARROW_RETURN_NOT_OK(status);
        }
      }
    }
  }
  recorder.Print();
  if (quick) bench::PrintMissing("build", "tables of 1 and 1024 MiB", "left out by QUICK=1");
  return arrow::Status::OK();
}

}  // namespace

int main(int argc, char** argv) {
  const bool child = argc == 6 && std::strcmp(argv[1], "--child") == 0;
  const auto status = child ? Child(argv[2], argv[3], std::atoll(argv[4]), std::atoll(argv[5]))
                            : Measure(argv[0], argc == 2 && std::strcmp(argv[1], "--quick") == 0);
  if (!status.ok()) std::cerr << "build: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
