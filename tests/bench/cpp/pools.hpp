// SPDX-License-Identifier: Apache-2.0
// The memory pools that are compared: a region's, and those that this Arrow was built with.
#pragma once

#include "series.hpp"

#include <arrow/memory_pool.h>

#include <string>
#include <utility>
#include <vector>

namespace bench {

using NamedPool = std::pair<std::string, arrow::MemoryPool*>;

// Arrow's own pools; one that this Arrow lacks is reported missing.
inline std::vector<NamedPool> ArrowPools(const std::string& work) {
  std::vector<NamedPool> pools = {{"Arrow's system pool", arrow::system_memory_pool()}};
  arrow::MemoryPool* pool = nullptr;
  arrow::Status status = arrow::mimalloc_memory_pool(&pool);
  if (status.ok()) {
    pools.emplace_back("Arrow's mimalloc pool", pool);
  } else {
    PrintMissing(work, "Arrow's mimalloc pool", status.message());
  }
  status = arrow::jemalloc_memory_pool(&pool);
  if (status.ok()) {
    pools.emplace_back("Arrow's jemalloc pool", pool);
  } else {
    PrintMissing(work, "Arrow's jemalloc pool", status.message());
  }
  return pools;
}

inline const NamedPool* FindPool(const std::vector<NamedPool>& pools, const std::string& name) {
  for (const NamedPool& pool : pools) {
    if (pool.first == name) return &pool;
  }
  return nullptr;
}

}  // namespace bench
