// SPDX-License-Identifier: Apache-2.0
// Makes a region Arrow's default memory pool: for the code that names no pool.
//
// Arrow has no call for this: arrow::default_memory_pool() offers what is built into Arrow, chosen by
// an environment variable. But Arrow calls that function as any program does, through its symbol, and
// so a definition in the executable takes its place. This header holds that definition. Include it
// in exactly one source file of an executable that links libarrow dynamically; csm/arrow.hpp does not.
// In a plugin, or with an Arrow that was linked to call itself directly (the wheel of 24.0.0 was, those of
// 10 to 21 and of 26 were not), it cannot work: MakeDefault then says so and changes nothing.
//
// Passing region->memory_pool() to builders, readers and ExecContexts needs none of this.
#pragma once

#include <csm/region.hpp>

#include <arrow/device.h>
#include <atomic>
#include <memory>
#include <string>

namespace csm {
namespace internal {

// Stands for Arrow's default pool for as long as the process lives, since Arrow keeps its address in
// static objects. New bytes come from where MakeDefault says; old ones go back where they came from.
class DefaultPool final : public PoolBase<DefaultPool> {
 public:
  static DefaultPool* Get() {
    static auto* pool = new DefaultPool;
    return pool;
  }

  // Null for Arrow's own.
  void SetTarget(arrow::MemoryPool* target) { target_.store(target != nullptr ? target : own_); }

  std::string backend_name() const override { return target_.load()->backend_name(); }
  void ReleaseUnused() override { own_->ReleaseUnused(); }

 private:
  friend PoolBase<DefaultPool>;

  DefaultPool() : own_(arrow::MemoryPool::CreateDefault().release()), target_(own_) {}
  ~DefaultPool() override = default;

  // Only called for bytes that exist: zero bytes have an address that belongs to nobody.
  arrow::MemoryPool* Owner(const uint8_t* bytes) {
    RegionPool* pool = RegionPool::Owning(bytes);
    return pool != nullptr ? static_cast<arrow::MemoryPool*>(pool) : own_;
  }

#if CSM_ARROW_POOL_TAKES_ALIGNMENT
#define CSM_ALIGNMENT(alignment) , alignment
#else
#define CSM_ALIGNMENT(alignment)
#endif
  arrow::Status AllocateBytes(int64_t size, [[maybe_unused]] int64_t alignment, uint8_t** out) {
    return target_.load(std::memory_order_acquire)->Allocate(size CSM_ALIGNMENT(alignment), out);
  }

  arrow::Status ReallocateBytes(int64_t old_size, int64_t new_size, int64_t alignment, uint8_t** ptr) {
    if (old_size == 0) return AllocateBytes(new_size, alignment, ptr);
    return Owner(*ptr)->Reallocate(old_size, new_size CSM_ALIGNMENT(alignment), ptr);
  }

  bool FreeBytes(uint8_t* buffer, int64_t size, [[maybe_unused]] int64_t alignment) {
    if (size > 0) Owner(buffer)->Free(buffer, size CSM_ALIGNMENT(alignment));
    return true;
  }
#undef CSM_ALIGNMENT

  arrow::MemoryPool* const own_;
  std::atomic<arrow::MemoryPool*> target_;
};

}  // namespace internal

// From now on Arrow allocates from `region` wherever it is given no pool; null undoes that. Buffers
// made before stay where they are. NotImplemented where Arrow cannot be made to.
//
// What cannot be reached are calls inside the one file of Arrow that defines default_memory_pool(): in
// Arrow 10 that is AllocateBuffer(size) without a pool.
inline arrow::Status MakeDefault(const std::shared_ptr<Region>& region) {
  auto* pool = internal::DefaultPool::Get();
  // What Arrow was told when it asked, from inside its library.
  const auto arrows = std::static_pointer_cast<arrow::CPUMemoryManager>(arrow::default_cpu_memory_manager());
  if (arrows->pool() != pool) {
    return arrow::Status::NotImplemented(
        "Arrow does not call this program's arrow::default_memory_pool(): pass region->memory_pool() to what "
        "allocates, or include csm/default_pool.hpp in a source file of the executable itself and link another Arrow");
  }
  pool->SetTarget(region != nullptr ? region->memory_pool() : nullptr);
  return arrow::Status::OK();
}

}  // namespace csm

// In place of Arrow's own. Declared, with default visibility, by arrow/type_fwd.h.
arrow::MemoryPool* arrow::default_memory_pool() { return csm::internal::DefaultPool::Get(); }
