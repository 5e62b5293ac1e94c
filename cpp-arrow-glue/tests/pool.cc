// SPDX-License-Identifier: Apache-2.0
// The region's MemoryPool keeps Arrow's rules: alignment, empty buffers, reallocation, counters,
// several threads, a clear OutOfMemory; and it outlives its Region and Arrow's static objects.

#include "check.hpp"

#include <cstring>
#include <thread>

namespace {

// Freed by the static destructor, when nothing else of the test is left.
std::shared_ptr<arrow::Buffer> last_buffer;

void Alignment(csm::Region* region, arrow::MemoryPool* pool) {
  for (int64_t size : {1, 63, 64, 65, 127, 129, 4096, 100'000, 3'000'000}) {
    uint8_t* bytes = nullptr;
    CHECK_OK(pool->Allocate(size, &bytes));
    CHECK(reinterpret_cast<uintptr_t>(bytes) % 64 == 0);
    CHECK(region->Contains(bytes) && region->Contains(bytes + size - 1));
    std::memset(bytes, 0x5a, static_cast<size_t>(size));
    pool->Free(bytes, size);
  }
#if CSM_ARROW_POOL_TAKES_ALIGNMENT
  for (int64_t alignment = 1; alignment <= 64 * 1024; alignment *= 2) {
    uint8_t* bytes = nullptr;
    CHECK_OK(pool->Allocate(1000, alignment, &bytes));
    CHECK(reinterpret_cast<uintptr_t>(bytes) % static_cast<uintptr_t>(alignment) == 0);
    CHECK_OK(pool->Reallocate(1000, 300'000, alignment, &bytes));
    CHECK(reinterpret_cast<uintptr_t>(bytes) % static_cast<uintptr_t>(alignment) == 0);
    pool->Free(bytes, 300'000, alignment);
  }
  uint8_t* bytes = nullptr;
  CHECK(pool->Allocate(64, 48, &bytes).IsInvalid());
#endif
}

// Zero bytes have one address, which is not null and belongs to no region.
void Empty(csm::Region* region, arrow::MemoryPool* pool) {
  const int64_t before = pool->bytes_allocated();
  uint8_t *one = nullptr, *other = nullptr;
  CHECK_OK(pool->Allocate(0, &one));
  CHECK_OK(pool->Allocate(0, &other));
  CHECK(one != nullptr && one == other && !region->Contains(one));
  pool->Free(one, 0);
  pool->Free(one, 0);

  CHECK_OK(pool->Reallocate(0, 1000, &one));
  CHECK(region->Contains(one));
  std::memset(one, 1, 1000);
  CHECK_EQ(pool->bytes_allocated(), before + 1000);
  CHECK_OK(pool->Reallocate(1000, 0, &one));
  CHECK(one == other);
  CHECK_OK(pool->Reallocate(0, 0, &one));
  CHECK(one == other);
  pool->Free(one, 0);
  CHECK_EQ(pool->bytes_allocated(), before);
}

void Reallocation(arrow::MemoryPool* pool) {
  uint8_t* bytes = nullptr;
  int64_t size = 100;
  CHECK_OK(pool->Allocate(size, &bytes));
  for (int64_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i);
  for (int64_t next : {200, 64, 5'000'000, 300'000, 100, 128, 99}) {
    CHECK_OK(pool->Reallocate(size, next, &bytes));
    size = next;
    for (int64_t i = 0; i < std::min<int64_t>(size, 64); ++i) CHECK(bytes[i] == i);
  }
  pool->Free(bytes, size);
}

void Counters(csm::Region* region, arrow::MemoryPool* any_pool) {
  // The concrete type has them with every Arrow.
  auto* pool = static_cast<csm::internal::RegionPool*>(any_pool);
  const int64_t live = pool->bytes_allocated(), total = pool->total_bytes_allocated();
  const int64_t count = pool->num_allocations();
  const auto in_region = UNWRAP(region->Stats()).live_bytes;

  uint8_t *a = nullptr, *b = nullptr;
  arrow::MemoryPool* base = pool;
  CHECK_OK(base->Allocate(40'000'000, &a));
  CHECK_OK(base->Allocate(1'000'000, &b));
  CHECK_EQ(pool->bytes_allocated(), live + 41'000'000);
  CHECK_EQ(pool->total_bytes_allocated(), total + 41'000'000);
  CHECK_EQ(pool->num_allocations(), count + 2);
  const int64_t peak = pool->max_memory();
  CHECK(peak >= live + 41'000'000);
  CHECK(UNWRAP(region->Stats()).live_bytes >= in_region + 41'000'000);

  CHECK_OK(base->Reallocate(40'000'000, 1'000, &a));
  CHECK_EQ(pool->bytes_allocated(), live + 1'001'000);
  CHECK_OK(base->Reallocate(1'000, 3'000, &a));
  CHECK_EQ(pool->total_bytes_allocated(), total + 41'002'000);
  CHECK_EQ(pool->max_memory(), peak);
  base->Free(a, 3'000);
  base->Free(b, 1'000'000);
  CHECK_EQ(pool->bytes_allocated(), live);
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, in_region);
  CHECK_EQ(pool->backend_name(), std::string("csm"));
}

void Refusals(arrow::MemoryPool* pool) {
  uint8_t* bytes = nullptr;
  CHECK(pool->Allocate(-1, &bytes).IsInvalid());
  CHECK_FAILS(pool->Allocate(int64_t{1} << 40, &bytes), CSM_E_REGION_FULL, IsOutOfMemory);
  CHECK(pool->Allocate(INT64_MAX, &bytes).IsOutOfMemory());
  CHECK(bytes == nullptr);

  // What cannot grow stays as it was.
  CHECK_OK(pool->Allocate(1000, &bytes));
  std::memset(bytes, 7, 1000);
  uint8_t* kept = bytes;
  const int64_t live = pool->bytes_allocated();
  CHECK(pool->Reallocate(1000, int64_t{1} << 40, &bytes).IsOutOfMemory());
  CHECK(pool->Reallocate(1000, -5, &bytes).IsInvalid());
  CHECK(bytes == kept && bytes[0] == 7 && bytes[999] == 7);
  CHECK_EQ(pool->bytes_allocated(), live);
  pool->Free(bytes, 1000);

  // The message is libcsm's, with numbers; a builder passes it on.
  arrow::Int64Builder builder(pool);
  const auto status = builder.Reserve(int64_t{1} << 36);
  CHECK(status.IsOutOfMemory());
  CHECK(status.message().find_first_of("0123456789") != std::string::npos);

  // A wrong free is refused, and harms nobody.
  alignas(64) static uint8_t foreign[64];
  pool->Free(foreign, 64);
  CHECK_OK(pool->Allocate(5000, &bytes));
  pool->Free(bytes, 5000);
  const int64_t before = pool->bytes_allocated();
  pool->Free(bytes, 5000);
  CHECK_EQ(pool->bytes_allocated(), before);
}

// Threads free and grow what others allocated.
void Threads(arrow::MemoryPool* pool) {
  const int64_t live = pool->bytes_allocated();
  constexpr size_t kThreads = 4, kBlocks = 2000;
  std::vector<std::vector<std::pair<uint8_t*, int64_t>>> blocks(kThreads);
  const auto on_every_thread = [&](auto&& work) {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
    for (auto& thread : threads) thread.join();
  };
  const auto size_of = [](size_t block) { return static_cast<int64_t>(1 + block * block % 20'000); };
  on_every_thread([&](size_t thread) {
    for (size_t i = 0; i < kBlocks; ++i) {
      uint8_t* bytes = nullptr;
      CHECK_OK(pool->Allocate(size_of(i), &bytes));
      bytes[0] = bytes[size_of(i) - 1] = static_cast<uint8_t>(thread);
      blocks[thread].emplace_back(bytes, size_of(i));
    }
  });
  on_every_thread([&](size_t thread) {
    const size_t other = (thread + 1) % kThreads;
    for (auto& [bytes, size] : blocks[other]) {
      CHECK(bytes[0] == other && bytes[size - 1] == other);
      if (size % 3 == 0) {
        CHECK_OK(pool->Reallocate(size, size * 2, &bytes));
        CHECK(bytes[0] == other);
        size *= 2;
      }
      pool->Free(bytes, size);
    }
  });
  CHECK_EQ(pool->bytes_allocated(), live);
}

// Arrow's own wrappers find in it what they expect of a pool.
void Wrapped(arrow::MemoryPool* pool) {
  arrow::ProxyMemoryPool proxy(pool);
  auto buffer = UNWRAP(arrow::AllocateBuffer(12'345, &proxy));
  CHECK(proxy.bytes_allocated() >= 12'345);
  buffer.reset();
  CHECK_EQ(proxy.bytes_allocated(), 0);
}

int Child(const std::string& uri) {
  arrow::MemoryPool* pool = nullptr;
  csm::Region* address = nullptr;
  {
    auto region = UNWRAP(csm::Region::Open(uri));
    pool = region->memory_pool();
    CHECK(pool == region->memory_pool());
    CHECK(region->Close().IsInvalid());
    auto same_region = UNWRAP(csm::Region::Open(uri));
    CHECK(same_region->memory_pool() == pool);
    CHECK_OK(same_region->Close());
    address = region.get();
  }
  Alignment(address, pool);  // the pool keeps it
  Empty(address, pool);
  Reallocation(pool);
  Counters(address, pool);
  Refusals(pool);
  Threads(pool);
  Wrapped(pool);
  CHECK_EQ(pool->bytes_allocated(), 0);
  last_buffer = UNWRAP(arrow::AllocateBuffer(1 << 20, pool));
  return 0;
}

}  // namespace

int Test(const std::vector<std::string>& arguments) {
  if (!arguments.empty()) return Child(arguments[0]);
  test::ScratchRegion scratch("size=128M");
  test::Run({scratch.uri()});

  // All of it came back.
  auto region = UNWRAP(csm::Region::Open(scratch.uri()));
  CHECK_EQ(UNWRAP(region->Stats()).live_bytes, 0u);
  CHECK_EQ(UNWRAP(region->Verify()).problems, 0u);
  CHECK_OK(region->Close());
  CHECK_FAILS(region->Stats(), CSM_E_CLOSED, IsInvalid);
  return 0;
}
