// SPDX-License-Identifier: Apache-2.0
// The memory pools that are compared: a region's, and those that this Arrow was built with.
#pragma once

#include "series.hpp"

#include <csm/arrow.hpp>

#include <arrow/memory_pool.h>
#include <arrow/result.h>

#include <memory>
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

// A pool by its name, or by the URI of a region, which is then open.
struct Place {
  std::shared_ptr<csm::Region> region;
  arrow::MemoryPool* pool = nullptr;
};

inline arrow::Result<Place> Open(const std::string& where, const std::string& work) {
  if (where.rfind("shm:", 0) == 0) {
    ARROW_ASSIGN_OR_RAISE(auto region, csm::Region::Open(where));
    return Place{region, region->memory_pool()};
  }
  for (const NamedPool& pool : ArrowPools(work)) {
    if (pool.first == where) return Place{nullptr, pool.second};
  }
  return arrow::Status::KeyError("no pool ", where);
}

}  // namespace bench
