// Records what Arrow C++ asks of its memory pool, so that the heap can be tested and measured on
// real traffic without Arrow. The format and the recorded traces are described in README.md.
//
//   record_trace SCENARIO FLIGHTS_CSV OUT
//
// SCENARIO: csv-serial | csv-threads (read the file), builders (append row by row), compute (filter,
// sort, take, concatenate, cast), all (the four in a row, everything kept alive to the end).

#include <arrow/api.h>
#include <arrow/compute/api.h>
#include <arrow/compute/initialize.h>
#include <arrow/csv/api.h>
#include <arrow/io/api.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

namespace cp = arrow::compute;

// Forwards to the default pool and writes one line an operation. The lines are in one order that
// holds for every thread: an allocation is written after it happened, a free before.
class RecordingPool : public arrow::MemoryPool {
 public:
  explicit RecordingPool(const char* path) : out_(std::fopen(path, "w")) {
    if (out_ == nullptr) throw std::runtime_error(std::string("cannot write ") + path);
    std::fputs("heap-trace 1\n", out_);
  }
  ~RecordingPool() override { std::fclose(out_); }

  using MemoryPool::Allocate, MemoryPool::Free, MemoryPool::Reallocate;

  arrow::Status Allocate(int64_t size, int64_t alignment, uint8_t** out) override {
    ARROW_RETURN_NOT_OK(CheckAlignment(alignment));
    ARROW_RETURN_NOT_OK(inner_->Allocate(size, alignment, out));
    std::lock_guard lock(mutex_);
    SwitchThread();
    std::fprintf(out_, "a %lld\n", static_cast<long long>(size));
    Bind(*out, size, next_id_++);
    return arrow::Status::OK();
  }

  arrow::Status Reallocate(int64_t old_size, int64_t new_size, int64_t alignment, uint8_t** ptr) override {
    ARROW_RETURN_NOT_OK(CheckAlignment(alignment));
    // The old address is given up first: another thread may be handed it before this one writes.
    const int64_t id = Unbind(*ptr, old_size);
    ARROW_RETURN_NOT_OK(inner_->Reallocate(old_size, new_size, alignment, ptr));
    std::lock_guard lock(mutex_);
    SwitchThread();
    std::fprintf(out_, "r %lld %lld\n", static_cast<long long>(id), static_cast<long long>(new_size));
    Bind(*ptr, new_size, id);
    return arrow::Status::OK();
  }

  void Free(uint8_t* buffer, int64_t size, int64_t alignment) override {
    const int64_t id = Unbind(buffer, size);
    {
      std::lock_guard lock(mutex_);
      SwitchThread();
      std::fprintf(out_, "f %lld\n", static_cast<long long>(id));
    }
    inner_->Free(buffer, size, alignment);
  }

  int64_t bytes_allocated() const override { return inner_->bytes_allocated(); }
  int64_t total_bytes_allocated() const override { return inner_->total_bytes_allocated(); }
  int64_t num_allocations() const override { return inner_->num_allocations(); }
  int64_t max_memory() const override { return inner_->max_memory(); }
  std::string backend_name() const override { return inner_->backend_name(); }

 private:
  static arrow::Status CheckAlignment(int64_t alignment) {
    return alignment == 64 ? arrow::Status::OK()
                           : arrow::Status::NotImplemented("the format knows alignment 64 only, not ", alignment);
  }

  // Size 0 has one shared address in Arrow, so its identities are a stack, any of which will do.
  void Bind(uint8_t* address, int64_t size, int64_t id) {
    if (size == 0) empty_ids_.push_back(id);
    else ids_[address] = id;
  }

  int64_t Unbind(uint8_t* address, int64_t size) {
    std::lock_guard lock(mutex_);
    if (size == 0) {
      const int64_t id = empty_ids_.back();
      empty_ids_.pop_back();
      return id;
    }
    auto at = ids_.find(address);
    if (at == ids_.end()) std::abort();  // Arrow gave back what it was never given
    const int64_t id = at->second;
    ids_.erase(at);
    return id;
  }

  void SwitchThread() {
    const int now = threads_.try_emplace(std::this_thread::get_id(), threads_.size()).first->second;
    if (now != thread_) std::fprintf(out_, "t %d\n", thread_ = now);
  }

  arrow::MemoryPool* inner_ = arrow::default_memory_pool();
  std::FILE* out_;
  std::mutex mutex_;
  std::unordered_map<uint8_t*, int64_t> ids_;
  std::vector<int64_t> empty_ids_;
  std::unordered_map<std::thread::id, int> threads_;
  int64_t next_id_ = 0;
  int thread_ = 0;
};

using Tables = std::vector<std::shared_ptr<arrow::Table>>;

arrow::Status ReadCsv(const std::string& path, bool use_threads, arrow::MemoryPool* pool, Tables* keep) {
  ARROW_ASSIGN_OR_RAISE(auto file, arrow::io::ReadableFile::Open(path, pool));
  auto read = arrow::csv::ReadOptions::Defaults();
  read.use_threads = use_threads;
  ARROW_ASSIGN_OR_RAISE(auto reader, arrow::csv::TableReader::Make(arrow::io::IOContext(pool), file, read,
                                                                   arrow::csv::ParseOptions::Defaults(),
                                                                   arrow::csv::ConvertOptions::Defaults()));
  ARROW_ASSIGN_OR_RAISE(auto table, reader->Read());
  keep->push_back(table);
  return arrow::Status::OK();
}

// Row by row and without Reserve: every buffer grows by doubling, many small tables and one large.
arrow::Status Build(arrow::MemoryPool* pool, Tables* keep) {
  for (int64_t rows : {1, 3, 10, 100, 1000, 3, 50, 20'000, 7, 300'000, 2, 2'000, 1}) {
    arrow::Int64Builder ints(pool);
    arrow::DoubleBuilder doubles(pool);
    arrow::StringBuilder strings(pool);
    auto values = std::make_shared<arrow::Int32Builder>(pool);
    arrow::ListBuilder lists(pool, values);
    arrow::StringDictionaryBuilder words(pool);
    for (int64_t row = 0; row < rows; ++row) {
      ARROW_RETURN_NOT_OK(row % 17 == 0 ? ints.AppendNull() : ints.Append(row));
      ARROW_RETURN_NOT_OK(doubles.Append(0.5 * static_cast<double>(row)));
      ARROW_RETURN_NOT_OK(strings.Append(std::string(static_cast<size_t>(row % 40), 'x')));
      ARROW_RETURN_NOT_OK(words.Append("word " + std::to_string(row % 100)));
      ARROW_RETURN_NOT_OK(lists.Append());
      for (int32_t i = 0; i < row % 5; ++i) ARROW_RETURN_NOT_OK(values->Append(i));
    }
    arrow::ArrayVector columns(5);
    ARROW_RETURN_NOT_OK(ints.Finish(&columns[0]));
    ARROW_RETURN_NOT_OK(doubles.Finish(&columns[1]));
    ARROW_RETURN_NOT_OK(strings.Finish(&columns[2]));
    ARROW_RETURN_NOT_OK(lists.Finish(&columns[3]));
    ARROW_RETURN_NOT_OK(words.Finish(&columns[4]));
    arrow::FieldVector fields;
    for (const auto& column : columns) fields.push_back(arrow::field("c" + std::to_string(fields.size()), column->type()));
    keep->push_back(arrow::Table::Make(arrow::schema(fields), columns));
  }
  return arrow::Status::OK();
}

arrow::Status Compute(const std::shared_ptr<arrow::Table>& flights, arrow::MemoryPool* pool, Tables* keep) {
  cp::ExecContext context(pool);
  ARROW_ASSIGN_OR_RAISE(auto late, cp::CallFunction("greater", {flights->GetColumnByName("dep_delay"),
                                                                arrow::Datum(int64_t{30})}, &context));
  ARROW_ASSIGN_OR_RAISE(auto filtered, cp::Filter(flights, late, cp::FilterOptions::Defaults(), &context));
  const cp::SortOptions order({cp::SortKey("carrier"), cp::SortKey("dep_delay", cp::SortOrder::Descending)});
  ARROW_ASSIGN_OR_RAISE(auto indices, cp::SortIndices(filtered, order, &context));
  ARROW_ASSIGN_OR_RAISE(auto sorted, cp::Take(filtered, indices, cp::TakeOptions::Defaults(), &context));
  keep->push_back(sorted.table());
  ARROW_ASSIGN_OR_RAISE(auto both, arrow::ConcatenateTables({flights, sorted.table()}));
  ARROW_ASSIGN_OR_RAISE(auto combined, both->CombineChunks(pool));
  keep->push_back(combined);
  ARROW_ASSIGN_OR_RAISE(auto upper, cp::CallFunction("utf8_lower", {combined->GetColumnByName("carrier")}, &context));
  ARROW_ASSIGN_OR_RAISE(auto floats, cp::Cast(combined->GetColumnByName("distance"), arrow::float64(),
                                              cp::CastOptions::Safe(), &context));
  return arrow::Status::OK();
}

arrow::Status Run(const std::string& scenario, const std::string& csv, const char* out) {
  ARROW_RETURN_NOT_OK(cp::Initialize());
  RecordingPool pool(out);
  Tables keep;  // after the pool: it must not outlive it
  const bool all = scenario == "all";
  const auto wanted = [&](const char* name) { return all || scenario == name; };
  if (wanted("csv-serial")) ARROW_RETURN_NOT_OK(ReadCsv(csv, false, &pool, &keep));
  if (wanted("csv-threads")) ARROW_RETURN_NOT_OK(ReadCsv(csv, true, &pool, &keep));
  if (wanted("builders")) ARROW_RETURN_NOT_OK(Build(&pool, &keep));
  if (wanted("compute")) {
    // By itself this is about computing alone: its input comes from the default pool.
    Tables input;
    ARROW_RETURN_NOT_OK(ReadCsv(csv, true, all ? &pool : arrow::default_memory_pool(), &input));
    ARROW_RETURN_NOT_OK(Compute(input[0], &pool, &keep));
  }
  return keep.empty() ? arrow::Status::Invalid("no such scenario: ", scenario) : arrow::Status::OK();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::cerr << "usage: record_trace SCENARIO FLIGHTS_CSV OUT\n", 2;
  const arrow::Status status = Run(argv[1], argv[2], argv[3]);
  if (!status.ok()) std::cerr << "record_trace: " << status.ToString() << "\n";
  return status.ok() ? 0 : 1;
}
