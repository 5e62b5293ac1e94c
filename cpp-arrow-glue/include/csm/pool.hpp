// SPDX-License-Identifier: Apache-2.0
// arrow::MemoryPool over memory that is not Arrow's: the shape every Arrow version asks for, the
// counters, and the pool of a region.
//
// A pool must outlive every buffer made from it, Arrow's static ones included, so a region's pool is
// never destroyed, and its region stays open until the process ends.
#pragma once

#include <csm/status.hpp>
#include <csm/version.hpp>

#include <arrow/buffer.h>
#include <arrow/memory_pool.h>
#include <atomic>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace csm {
namespace internal {

inline constexpr int64_t kAlignment = 64;  // what Arrow asks for where it does not say

// Derived has AllocateBytes, ReallocateBytes (which keeps *ptr where it fails) and FreeBytes (which
// says whether it did), all with an alignment and all ready for size 0.
template <class Derived>
class PoolBase : public arrow::MemoryPool {
 public:
#if CSM_ARROW_POOL_TAKES_ALIGNMENT
  using arrow::MemoryPool::Allocate;
  using arrow::MemoryPool::Free;
  using arrow::MemoryPool::Reallocate;

  arrow::Status Allocate(int64_t size, int64_t alignment, uint8_t** out) override {
    return DoAllocate(size, alignment, out);
  }
  arrow::Status Reallocate(int64_t old_size, int64_t new_size, int64_t alignment, uint8_t** ptr) override {
    return DoReallocate(old_size, new_size, alignment, ptr);
  }
  void Free(uint8_t* buffer, int64_t size, int64_t alignment) override { DoFree(buffer, size, alignment); }
#else
  arrow::Status Allocate(int64_t size, uint8_t** out) override { return DoAllocate(size, kAlignment, out); }
  arrow::Status Reallocate(int64_t old_size, int64_t new_size, uint8_t** ptr) override {
    return DoReallocate(old_size, new_size, kAlignment, ptr);
  }
  void Free(uint8_t* buffer, int64_t size) override { DoFree(buffer, size, kAlignment); }
#endif

  int64_t bytes_allocated() const override { return live_bytes_.load(std::memory_order_relaxed); }
  int64_t max_memory() const override { return peak_bytes_.load(std::memory_order_relaxed); }

  // All bytes ever asked for (where a reallocation grows, by how much), and how often.
#if CSM_ARROW_POOL_COUNTS_ALLOCATIONS
  int64_t total_bytes_allocated() const override { return total_bytes_.load(std::memory_order_relaxed); }
  int64_t num_allocations() const override { return allocations_.load(std::memory_order_relaxed); }
#else
  int64_t total_bytes_allocated() const { return total_bytes_.load(std::memory_order_relaxed); }
  int64_t num_allocations() const { return allocations_.load(std::memory_order_relaxed); }
#endif

 private:
  Derived* derived() { return static_cast<Derived*>(this); }

  static arrow::Status CheckSize(int64_t size) {
    return size >= 0 ? arrow::Status::OK() : arrow::Status::Invalid("an allocation of ", size, " bytes: negative");
  }

  arrow::Status DoAllocate(int64_t size, int64_t alignment, uint8_t** out) {
    ARROW_RETURN_NOT_OK(CheckSize(size));
    ARROW_RETURN_NOT_OK(derived()->AllocateBytes(size, alignment, out));
    CountGrown(size);
    return arrow::Status::OK();
  }

  arrow::Status DoReallocate(int64_t old_size, int64_t new_size, int64_t alignment, uint8_t** ptr) {
    ARROW_RETURN_NOT_OK(CheckSize(new_size));
    ARROW_RETURN_NOT_OK(derived()->ReallocateBytes(old_size, new_size, alignment, ptr));
    if (new_size > old_size) {
      CountGrown(new_size - old_size);
    } else {
      live_bytes_.fetch_sub(old_size - new_size, std::memory_order_relaxed);
    }
    return arrow::Status::OK();
  }

  void DoFree(uint8_t* buffer, int64_t size, int64_t alignment) {
    if (derived()->FreeBytes(buffer, size, alignment)) live_bytes_.fetch_sub(size, std::memory_order_relaxed);
  }

  // The peak takes a store only while it rises.
  void CountGrown(int64_t size) {
    const int64_t live = live_bytes_.fetch_add(size, std::memory_order_relaxed) + size;
    total_bytes_.fetch_add(size, std::memory_order_relaxed);
    allocations_.fetch_add(1, std::memory_order_relaxed);
    int64_t peak = peak_bytes_.load(std::memory_order_relaxed);
    while (peak < live && !peak_bytes_.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
    }
  }

  // On a line of their own: every thread of the process writes them.
  alignas(64) std::atomic<int64_t> live_bytes_{0};
  std::atomic<int64_t> peak_bytes_{0};
  std::atomic<int64_t> total_bytes_{0};
  std::atomic<int64_t> allocations_{0};
};

// The heap of one region as a pool. There is one for each region that a process allocates in (or two, if it
// has it open read-only as well), however often the region is opened.
class RegionPool final : public PoolBase<RegionPool> {
 public:
  // The pool of the region that lies at `base`. Where there is none yet one is made of `handle`, which
  // `keeps_open` then keeps open for good.
  static RegionPool* Get(const void* base, bool writable, csm_region_t* handle,
                         const std::shared_ptr<void>& keeps_open) {
    static std::mutex mutex;
    const std::lock_guard<std::mutex> lock(mutex);
    RegionPool* const first = all_.load(std::memory_order_relaxed);
    for (RegionPool* pool = first; pool != nullptr; pool = pool->next_) {
      if (pool->base_ == base && pool->writable_ == writable) return pool;
    }
    auto* pool = new RegionPool(base, writable, handle, keeps_open, first);
    all_.store(pool, std::memory_order_release);
    return pool;
  }

  // The pool whose region holds `address`, or null.
  static RegionPool* Owning(const void* address) {
    RegionPool* pool = all_.load(std::memory_order_acquire);
    while (pool != nullptr && !(pool->writable_ && pool->Contains(address))) pool = pool->next_;
    return pool;
  }

  bool Contains(const void* address) const { return csm_heap_contains(region_, address); }
  bool IsMadeOf(const csm_region_t* handle) const { return region_ == handle; }
  std::string backend_name() const override { return "csm"; }

 private:
  friend PoolBase<RegionPool>;

  RegionPool(const void* base, bool writable, csm_region_t* handle, std::shared_ptr<void> keeps_open, RegionPool* next)
      : base_(base), writable_(writable), region_(handle), keeps_open_(std::move(keeps_open)), next_(next) {}
  ~RegionPool() override = default;

  arrow::Status AllocateBytes(int64_t size, int64_t alignment, uint8_t** out) {
    Call call;
    void* bytes = nullptr;
    const csm_status_t code =
        csm_heap_alloc(region_, static_cast<uint64_t>(size), static_cast<uint64_t>(alignment), &bytes, call.error());
    if (code == CSM_OK) *out = static_cast<uint8_t*>(bytes);
    return call(code);
  }

  arrow::Status ReallocateBytes(int64_t old_size, int64_t new_size, int64_t alignment, uint8_t** ptr) {
    Call call;
    void* bytes = nullptr;
    const csm_status_t code =
        csm_heap_realloc(region_, *ptr, static_cast<uint64_t>(old_size), static_cast<uint64_t>(new_size),
                         static_cast<uint64_t>(alignment), &bytes, call.error());
    if (code == CSM_OK) *ptr = static_cast<uint8_t*>(bytes);
    return call(code);
  }

  // Nothing can be returned from here. A wrong pointer is refused, said aloud, and harms nobody; what
  // a forked child inherited is not its to free, and that is no error of its program.
  bool FreeBytes(uint8_t* buffer, int64_t size, int64_t /*alignment*/) {
    Call call;
    const csm_status_t code = csm_heap_free(region_, buffer, static_cast<uint64_t>(size), call.error());
    if (code != CSM_OK && code != CSM_E_FORKED) {
      std::fprintf(stderr, "csm: error: free of %" PRId64 " bytes at %p: %s\n", size, static_cast<void*>(buffer),
                   call.error()->message);
    }
    return code == CSM_OK;
  }

  static inline std::atomic<RegionPool*> all_{nullptr};

  const void* const base_;
  const bool writable_;
  csm_region_t* const region_;
  const std::shared_ptr<void> keeps_open_;
  RegionPool* const next_;
};

}  // namespace internal
}  // namespace csm
