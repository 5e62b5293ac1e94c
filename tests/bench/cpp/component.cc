// SPDX-License-Identifier: Apache-2.0
// The reference's component benchmarks that concern a library rather than a link: ping, malloc, serialize, deserialize and
// transfer, of the whole table and of its descriptor alone, by size. Loads, stores, strides and flushes of a link are
// `csm-bringup bench`'s.
//
// Two processes: this one publishes, its child reads and answers. On shared memory of one host, as it is (gc) and with every
// write-back and invalidation that a link needs which keeps no caches coherent (lc).

#include "series.hpp"
#include "tables.hpp"

#include <csm/arrow.hpp>

#include <arrow/api.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr auto kPatience = std::chrono::seconds(60);
constexpr int kPings = 2000, kTransfers = 7;

// Of the tables that are transferred; how many of these sizes are measured depends on QUICK=1 and on memory.
constexpr int64_t kRows[] = {7864320, 39321600, 78643200, 157286400};
constexpr size_t kQuickSizes = 2;

std::vector<int64_t> Rows(size_t sizes) { return {std::begin(kRows), std::begin(kRows) + sizes}; }

std::string RowsLabel(int64_t rows) {
  char label[64];
  std::snprintf(label, sizeof label, "%.1f M rows x %d B", static_cast<double>(rows) / 1e6,
                static_cast<int>(bench::kReferenceRowBytes));
  return label;
}

// The region that such a table needs: the builder's room that grows, the table, and the one before it until it is freed.
int64_t RegionMib(int64_t rows) { return (176 + rows * bench::kReferenceRowBytes * 5 / 2 / (1 << 20)) / 2 * 2; }

int64_t FreeMib() {
  struct statvfs shm;
  if (statvfs("/dev/shm", &shm) != 0) return 0;
  return static_cast<int64_t>(shm.f_bavail) * static_cast<int64_t>(shm.f_frsize) / (1 << 20);
}

// How many of the sizes there is room for, besides the region's books; the others are reported.
size_t SizesThatFit(bool quick) {
  constexpr int64_t kBooksMib = 64;
  const int64_t free_mib = FreeMib();
  size_t sizes = 0;
  for (const int64_t rows : kRows) {
    const int64_t need_mib = RegionMib(rows) + kBooksMib;
    if (quick && sizes == kQuickSizes) {
      bench::PrintMissing("component", "transfer, " + RowsLabel(rows), "left out by QUICK=1");
    } else if (need_mib > free_mib) {
      bench::PrintMissing("component", "transfer, " + RowsLabel(rows),
                          "it needs " + std::to_string(need_mib) + " MiB of /dev/shm, " + std::to_string(free_mib) + " are free");
    } else {
      ++sizes;
    }
  }
  return sizes;
}

std::string Name(const char* prefix, int number) { return prefix + std::to_string(number); }

// The child: waits for each table in turn, reads its first value and answers with a table of its own.
arrow::Status Answer(const std::string& uri, int tables) {
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  ARROW_ASSIGN_OR_RAISE(auto answer, bench::ReferenceTable(region->memory_pool(), 8));
  for (int i = 0; i < tables; ++i) {
    ARROW_RETURN_NOT_OK(region->Wait(Name("t", i), kPatience));
    ARROW_ASSIGN_OR_RAISE(auto reader, region->OpenReader(Name("t", i)));
    ARROW_ASSIGN_OR_RAISE(auto batch, reader->Next());
    if (static_cast<const arrow::Int64Array&>(*batch->column(0)).Value(0) != 0) {
      return arrow::Status::Invalid("another table");
    }
    ARROW_RETURN_NOT_OK(region->Publish(Name("a", i), *answer).status());
  }
  return arrow::Status::OK();
}

class Bench {
 public:
  Bench(std::shared_ptr<csm::Region> region, std::string profile, bench::Recorder* recorder)
      : region_(std::move(region)), who_(profile == "gc" ? "libcsm" : "libcsm, coherence=lc"), recorder_(recorder) {}

  arrow::Status Run(const std::vector<int64_t>& rows) {
    ARROW_ASSIGN_OR_RAISE(auto small, bench::ReferenceTable(region_->memory_pool(), 8));
    for (int i = 0; i < kPings; ++i) {
      ARROW_ASSIGN_OR_RAISE(const double seconds, Send(*small));
      if (i >= kPings / 10) Add("ping", "round trip", 0, seconds, "publish of 8 rows, wait, open and first value by another process, and the same back");
    }
    ARROW_RETURN_NOT_OK(Allocate());
    ARROW_RETURN_NOT_OK(Describe(*small));
    for (const int64_t count : rows) ARROW_RETURN_NOT_OK(Transfer(count));
    return arrow::Status::OK();
  }

  static int Tables(const std::vector<int64_t>& rows) {
    return kPings + static_cast<int>(rows.size()) * 2 * (kTransfers + 1);
  }

 private:
  void Add(const char* step, const std::string& variant, double x, double seconds, const char* includes) {
    bench::What what;
    what.work = "component";
    what.step = step;
    what.variant = variant;
    what.x = x;
    what.who = who_;
    what.includes = includes;
    recorder_->Add(what, seconds);
  }

  // Publishes, and waits until the child has read it and said so.
  arrow::Result<double> Send(const arrow::RecordBatch& batch) {
    const int64_t start = bench::NowNs();
    ARROW_RETURN_NOT_OK(region_->Publish(Name("t", sent_), batch).status());
    ARROW_RETURN_NOT_OK(region_->Wait(Name("a", sent_), kPatience));
    ARROW_RETURN_NOT_OK(region_->OpenReader(Name("a", sent_)).status());
    const double seconds = static_cast<double>(bench::NowNs() - start) / 1e9;
    ARROW_RETURN_NOT_OK(region_->Remove(Name("t", sent_)));
    ARROW_RETURN_NOT_OK(region_->Remove(Name("a", sent_)));
    ++sent_;
    return seconds;
  }

  arrow::Status Allocate() {
    std::minstd_rand random(1);
    arrow::MemoryPool* const pool = region_->memory_pool();
    for (int i = 0; i < 10000; ++i) {
      const int64_t size = static_cast<int64_t>(random() % 5000);
      uint8_t* memory = nullptr;
      const int64_t start = bench::NowNs();
      ARROW_RETURN_NOT_OK(pool->Allocate(size, &memory));
      const double seconds = static_cast<double>(bench::NowNs() - start) / 1e9;
      pool->Free(memory, size);
      if (i >= 1000) Add("malloc", "up to 5000 B", 0, seconds, "one allocation from the region's pool, the clock's own time too");
    }
    return arrow::Status::OK();
  }

  arrow::Status Describe(const arrow::RecordBatch& batch) {
    for (int i = 0; i < 2000; ++i) {
      const int64_t start = bench::NowNs();
      ARROW_RETURN_NOT_OK(region_->Publish("described", batch).status());
      const int64_t published = bench::NowNs();
      ARROW_ASSIGN_OR_RAISE(auto reader, region_->OpenReader("described"));
      ARROW_RETURN_NOT_OK(reader->Next().status());
      const int64_t opened = bench::NowNs();
      reader.reset();
      ARROW_RETURN_NOT_OK(region_->Remove("described"));
      if (i < 200) continue;
      Add("serialize", "descriptor of 3 columns", 0, static_cast<double>(published - start) / 1e9,
          "the whole of publishing, of which the descriptor is a part");
      Add("deserialize", "descriptor of 3 columns", 0, static_cast<double>(opened - published) / 1e9,
          "the whole of opening, with a lease, to Arrow C++'s record batch");
    }
    return arrow::Status::OK();
  }

  arrow::Status Transfer(int64_t rows) {
    const std::string variant = RowsLabel(rows);
    const auto x = static_cast<double>(rows);
    ARROW_ASSIGN_OR_RAISE(auto placed, bench::ReferenceTable(region_->memory_pool(), rows));
    for (int i = 0; i <= kTransfers; ++i) {
      ARROW_ASSIGN_OR_RAISE(const double seconds, Send(*placed));
      if (i > 0) Add("transfer, descriptor only", variant, x, seconds, "publish of a table that is in the region, first value read by another process, its answer");
    }
    placed.reset();
    ARROW_ASSIGN_OR_RAISE(auto own, bench::ReferenceTable(arrow::default_memory_pool(), rows));
    for (int i = 0; i <= kTransfers; ++i) {
      ARROW_ASSIGN_OR_RAISE(const double seconds, Send(*own));
      if (i > 0) Add("transfer, full copy", variant, x, seconds, "the same of a table in the process's own memory, which publishing copies in");
    }
    return arrow::Status::OK();
  }

  const std::shared_ptr<csm::Region> region_;
  const std::string who_;
  bench::Recorder* const recorder_;
  int sent_ = 0;
};

arrow::Status Parent(const std::string& uri, const std::string& profile, size_t sizes) {
  bench::Recorder recorder;
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  ARROW_RETURN_NOT_OK(Bench(region, profile, &recorder).Run(Rows(sizes)));
  recorder.Print();
  return arrow::Status::OK();
}

// A process that opened a region must not fork, so both ends are programs of their own.
arrow::Status Measure(const std::string& program, const std::string& profile, size_t sizes) {
  const std::string uri = "shm:bench-component-" + std::to_string(getpid());
  const std::string size = "?size=" + std::to_string(RegionMib(sizes == 0 ? 0 : kRows[sizes - 1])) + "M";
  ARROW_RETURN_NOT_OK(csm::Region::Create(uri + size + "&coherence=" + profile).status());
  const std::string arguments = uri + " " + profile + " " + std::to_string(sizes);
  const int failed =
      std::system(("'" + program + "' --answer " + arguments + " & '" + program + "' --ask " + arguments +
                   "; asked=$?; wait $! && exit $asked").c_str());
  ARROW_RETURN_NOT_OK(csm::Region::Destroy(uri));
  return failed == 0 ? arrow::Status::OK() : arrow::Status::UnknownError("one of the two processes failed, ", profile);
}

}  // namespace

int main(int argc, char** argv) {
  arrow::Status status;
  if (argc == 5) {
    const size_t sizes = std::strtoul(argv[4], nullptr, 10);
    status = std::strcmp(argv[1], "--ask") == 0 ? Parent(argv[2], argv[3], sizes) : Answer(argv[2], Bench::Tables(Rows(sizes)));
  } else {
    const bool quick = argc == 2 && std::strcmp(argv[1], "--quick") == 0;
    bench::PrintMissing("component", "malloc, remote", "only processes of the region's own node allocate in it");
    const size_t sizes = SizesThatFit(quick);
    for (const char* profile : {"gc", "lc"}) {
      if (status.ok()) status = Measure(argv[0], profile, sizes);
    }
  }
  if (!status.ok()) std::cerr << "component: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
