// SPDX-License-Identifier: Apache-2.0
// The reference's component benchmarks that concern a library rather than a link: ping, malloc, serialize, deserialize and
// transfer, of the whole table and of its descriptor alone, by size. Loads, stores, strides and flushes of a link are
// `csm-bringup bench`'s.
//
// Two processes: this one publishes, its child reads and answers. On shared memory of one host, as it is (gc) and with every
// write-back and invalidation that a link needs which keeps no caches coherent (lc).

#include "series.hpp"

#include <csm/arrow.hpp>

#include <arrow/api.h>
#include <sys/wait.h>
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
using BatchPtr = std::shared_ptr<arrow::RecordBatch>;

template <class Builder, class Value>
arrow::Result<std::shared_ptr<arrow::Array>> Column(arrow::MemoryPool* pool, int64_t rows) {
  Builder builder(pool);
  ARROW_RETURN_NOT_OK(builder.Reserve(rows));
  for (int64_t i = 0; i < rows; ++i) builder.UnsafeAppend(static_cast<Value>(i));
  return builder.Finish();
}

// The reference's test table: 11 bytes a row.
arrow::Result<BatchPtr> ReferenceTable(arrow::MemoryPool* pool, int64_t rows) {
  ARROW_ASSIGN_OR_RAISE(auto day, (Column<arrow::Int64Builder, int64_t>(pool, rows)));
  ARROW_ASSIGN_OR_RAISE(auto month, (Column<arrow::Int8Builder, int8_t>(pool, rows)));
  ARROW_ASSIGN_OR_RAISE(auto year, (Column<arrow::UInt16Builder, uint16_t>(pool, rows)));
  auto schema = arrow::schema({arrow::field("Day", day->type()), arrow::field("Month", month->type()),
                               arrow::field("Year", year->type())});
  return arrow::RecordBatch::Make(schema, rows, {day, month, year});
}

std::vector<int64_t> Rows(bool quick) {
  return quick ? std::vector<int64_t>{7864320, 39321600} : std::vector<int64_t>{7864320, 39321600, 78643200, 157286400};
}

std::string Name(const char* prefix, int number) { return prefix + std::to_string(number); }

// The child: waits for each table in turn, reads its first value and answers with a table of its own.
arrow::Status Answer(const std::string& uri, int tables) {
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  ARROW_ASSIGN_OR_RAISE(auto answer, ReferenceTable(region->memory_pool(), 8));
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
    ARROW_ASSIGN_OR_RAISE(auto small, ReferenceTable(region_->memory_pool(), 8));
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
    char variant[64];
    std::snprintf(variant, sizeof variant, "%.1f M rows x 11 B", static_cast<double>(rows) / 1e6);
    const auto x = static_cast<double>(rows);
    ARROW_ASSIGN_OR_RAISE(auto placed, ReferenceTable(region_->memory_pool(), rows));
    for (int i = 0; i <= kTransfers; ++i) {
      ARROW_ASSIGN_OR_RAISE(const double seconds, Send(*placed));
      if (i > 0) Add("transfer, descriptor only", variant, x, seconds, "publish of a table that is in the region, first value read by another process, its answer");
    }
    placed.reset();
    ARROW_ASSIGN_OR_RAISE(auto own, ReferenceTable(arrow::default_memory_pool(), rows));
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

arrow::Status Parent(const std::string& uri, const std::string& profile, bool quick) {
  bench::Recorder recorder;
  ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(uri));
  ARROW_RETURN_NOT_OK(Bench(region, profile, &recorder).Run(Rows(quick)));
  recorder.Print();
  return arrow::Status::OK();
}

// A process that opened a region must not fork, so both ends are programs of their own.
arrow::Status Measure(const std::string& program, const std::string& profile, bool quick) {
  const std::string uri = "shm:bench-component-" + std::to_string(getpid());
  const std::string size = quick ? "?size=1200M" : "?size=4300M";
  ARROW_RETURN_NOT_OK(csm::Region::Create(uri + size + "&coherence=" + profile).status());
  const std::string arguments = uri + " " + profile + (quick ? " --quick" : " --full");
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
    const bool quick = std::strcmp(argv[4], "--quick") == 0;
    status = std::strcmp(argv[1], "--ask") == 0 ? Parent(argv[2], argv[3], quick) : Answer(argv[2], Bench::Tables(Rows(quick)));
  } else {
    const bool quick = argc == 2 && std::strcmp(argv[1], "--quick") == 0;
    bench::PrintMissing("component", "malloc, remote", "only processes of the region's own node allocate in it");
    for (const char* profile : {"gc", "lc"}) {
      if (status.ok()) status = Measure(argv[0], profile, quick);
    }
  }
  if (!status.ok()) std::cerr << "component: error: " << status.ToString() << '\n';
  return status.ok() ? 0 : 1;
}
