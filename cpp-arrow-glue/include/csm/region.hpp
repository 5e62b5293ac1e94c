// SPDX-License-Identifier: Apache-2.0
// A region: created or opened by URI, allocated from through its memory pool, its tables published
// and opened by name. All methods may be called from several threads at once.
#pragma once

#include <csm/context.hpp>
#include <csm/pool.hpp>

#include <arrow/record_batch.h>
#include <arrow/result.h>
#include <arrow/table.h>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace csm {

class Lease;

struct PublishOptions {
  // A table of that name gives way; who holds it keeps it. Otherwise that is AlreadyExists.
  bool replace = false;
  // This process cannot write the table's pages any more, nor whatever else lies in them.
  bool seal = false;
};

struct OpenOptions {
  // Check every value (offsets, indices, UTF-8), not the structure alone. Costs a scan of the data.
  bool validate = false;
};

using PublishReport = csm_published_t;
using RegionInfo = csm_region_info_t;
using RegionStats = csm_region_stats_t;
using TableInfo = csm_table_info_t;

struct VerifyReport {
  uint64_t problems = 0;           // faults in the region's structures
  std::vector<std::string> lines;  // "problem: ..." for each; "reaped: ..." for what the dead had left
};

class Region : public std::enable_shared_from_this<Region> {
 public:
  // The options of a URI, e.g. "shm:flights?size=1G", are libcsm's.
  static arrow::Result<std::shared_ptr<Region>> Create(const std::string& uri,
                                                       std::shared_ptr<Context> context = nullptr) {
    return Connect(csm_region_create, uri, std::move(context));
  }
  static arrow::Result<std::shared_ptr<Region>> Open(const std::string& uri,
                                                     std::shared_ptr<Context> context = nullptr) {
    return Connect(csm_region_open, uri, std::move(context));
  }
  // Gives its memory back. Fails while any process has it open.
  static arrow::Status Destroy(const std::string& uri, std::shared_ptr<Context> context = nullptr);

  // The last reference closes the region, unless its pool was handed out. Tables opened from it live on.
  ~Region() {
    if (handle_ != nullptr) (void)csm_region_close(handle_, nullptr);
  }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Closes now and says how it went; later calls fail. Invalid if the pool was made of this Region.
  arrow::Status Close();

  // Arrow's way to allocate in the region. The pool outlives everything: it is never destroyed, and
  // from this call on the region stays open until the process ends. However often a process opens the
  // region, it is the same pool.
  arrow::MemoryPool* memory_pool();

  bool Contains(const void* address) const { return csm_heap_contains(handle_, address); }

  // Publishing puts a table under a name, all of it at once. Buffers that lie in a region are named
  // where they are; others are copied in, and the report says how many bytes.
  arrow::Result<PublishReport> Publish(const std::string& name, const arrow::RecordBatch& batch,
                                       const PublishOptions& options = {});
  arrow::Result<PublishReport> Publish(const std::string& name, const std::shared_ptr<arrow::RecordBatch>& batch,
                                       const PublishOptions& options = {}) {
    return Publish(name, *batch, options);
  }
  arrow::Result<PublishReport> Publish(const std::string& name, const std::shared_ptr<arrow::Table>& table,
                                       const PublishOptions& options = {});
  arrow::Result<PublishReport> Publish(const std::string& name, std::shared_ptr<arrow::RecordBatchReader> reader,
                                       const PublishOptions& options = {});

  // The table as it is now, read in place. Its memory is kept for as long as any array of it lives,
  // this Region and the name need not. KeyError where there is no such name.
  arrow::Result<std::shared_ptr<arrow::Table>> OpenTable(const std::string& name, const OpenOptions& options = {});
  arrow::Result<std::shared_ptr<arrow::RecordBatchReader>> OpenReader(const std::string& name,
                                                                      const OpenOptions& options = {});
  // The same in two steps: a hold on one generation of the table, which can be asked about it.
  arrow::Result<std::shared_ptr<Lease>> OpenLease(const std::string& name, const OpenOptions& options = {});

  // Returns when a table of that name is there. Past the timeout: IOError, CodeOf() CSM_E_TIMED_OUT.
  arrow::Status Wait(const std::string& name, std::chrono::nanoseconds timeout);
  // Takes the name away; who holds the table keeps it.
  arrow::Status Remove(const std::string& name);
  arrow::Result<std::vector<TableInfo>> List() const;

  arrow::Result<RegionInfo> Info() const;
  arrow::Result<RegionStats> Stats() const;
  arrow::Status Grow(uint64_t size_bytes);
  // Checks every structure of the region, and clears up after processes that died.
  arrow::Result<VerifyReport> Verify() const;

  csm_region_t* handle() const { return handle_; }

 private:
  using ConnectFn = decltype(csm_region_open);

  Region(csm_region_t* handle, std::shared_ptr<Context> context) : handle_(handle), context_(std::move(context)) {}

  static arrow::Result<std::shared_ptr<Region>> Connect(ConnectFn* connect, const std::string& uri,
                                                        std::shared_ptr<Context> context);

  csm_region_t* handle_;
  const std::shared_ptr<Context> context_;
  std::mutex mutex_;  // over getting the pool, and closing
  internal::RegionPool* pool_ = nullptr;
};

namespace internal {

inline arrow::Result<std::shared_ptr<Context>> OrDefault(std::shared_ptr<Context> context) {
  if (context != nullptr) return context;
  return Context::Default();
}

}  // namespace internal

inline arrow::Result<std::shared_ptr<Region>> Region::Connect(ConnectFn* connect, const std::string& uri,
                                                              std::shared_ptr<Context> context) {
  ARROW_RETURN_NOT_OK(internal::CheckNoNul(uri, "URI"));
  ARROW_ASSIGN_OR_RAISE(context, internal::OrDefault(std::move(context)));
  internal::Call call;
  csm_region_t* handle = nullptr;
  ARROW_RETURN_NOT_OK(call(connect(context->handle(), uri.c_str(), &handle, call.error())));
  return std::shared_ptr<Region>(new Region(handle, std::move(context)));
}

inline arrow::Status Region::Destroy(const std::string& uri, std::shared_ptr<Context> context) {
  ARROW_RETURN_NOT_OK(internal::CheckNoNul(uri, "URI"));
  ARROW_ASSIGN_OR_RAISE(context, internal::OrDefault(std::move(context)));
  internal::Call call;
  return call(csm_region_destroy(context->handle(), uri.c_str(), call.error()));
}

inline arrow::Status Region::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (pool_ != nullptr && pool_->IsMadeOf(handle_)) {
    return arrow::Status::Invalid("the region's memory pool was handed out and keeps it open until the process ends; ",
                                  "drop the references to it in place of closing it");
  }
  internal::Call call;
  return call(csm_region_close(handle_, call.error()));
}

inline arrow::MemoryPool* Region::memory_pool() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (pool_ == nullptr) {
    // A closed region has no base, and its pool refuses everything.
    const RegionInfo info = Info().ValueOr(RegionInfo{});
    pool_ = internal::RegionPool::Get(info.base, info.writable != 0, handle_, shared_from_this());
  }
  return pool_;
}

inline arrow::Status Region::Wait(const std::string& name, std::chrono::nanoseconds timeout) {
  ARROW_RETURN_NOT_OK(internal::CheckNoNul(name, "name"));
  const auto timeout_ns = timeout.count() > 0 ? static_cast<uint64_t>(timeout.count()) : 0;
  internal::Call call;
  return call(csm_table_wait(handle_, name.c_str(), timeout_ns, call.error()));
}

inline arrow::Status Region::Remove(const std::string& name) {
  ARROW_RETURN_NOT_OK(internal::CheckNoNul(name, "name"));
  internal::Call call;
  return call(csm_table_remove(handle_, name.c_str(), call.error()));
}

inline arrow::Result<std::vector<TableInfo>> Region::List() const {
  internal::Call call;
  csm_catalog_t* catalog = nullptr;
  ARROW_RETURN_NOT_OK(call(csm_catalog_read(handle_, &catalog, call.error())));
  const std::unique_ptr<csm_catalog_t, decltype(&csm_catalog_free)> freed_at_end(catalog, csm_catalog_free);
  std::vector<TableInfo> tables(csm_catalog_len(catalog));
  for (size_t i = 0; i < tables.size(); ++i) {
    tables[i].struct_size = sizeof tables[i];
    ARROW_RETURN_NOT_OK(call(csm_catalog_entry(catalog, i, &tables[i], call.error())));
  }
  return tables;
}

inline arrow::Result<RegionInfo> Region::Info() const {
  internal::Call call;
  RegionInfo info{};
  info.struct_size = sizeof info;
  ARROW_RETURN_NOT_OK(call(csm_region_info(handle_, &info, call.error())));
  return info;
}

inline arrow::Result<RegionStats> Region::Stats() const {
  internal::Call call;
  RegionStats stats{};
  stats.struct_size = sizeof stats;
  ARROW_RETURN_NOT_OK(call(csm_region_stats(handle_, &stats, call.error())));
  return stats;
}

inline arrow::Status Region::Grow(uint64_t size_bytes) {
  internal::Call call;
  return call(csm_region_grow(handle_, size_bytes, call.error()));
}

inline arrow::Result<VerifyReport> Region::Verify() const {
  internal::Call call;
  VerifyReport report;
  const auto take_line = [](void* user, const char* line) {
    static_cast<std::vector<std::string>*>(user)->emplace_back(line);
  };
  ARROW_RETURN_NOT_OK(call(csm_region_verify(handle_, take_line, &report.lines, &report.problems, call.error())));
  return report;
}

}  // namespace csm
