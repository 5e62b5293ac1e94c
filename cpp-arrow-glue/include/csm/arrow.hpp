// SPDX-License-Identifier: Apache-2.0
// libcsm for Apache Arrow C++ 10 to 26, header-only: link libcsm and libarrow.
//
//   auto region = csm::Region::Open("shm:flights").ValueOrDie();
//   arrow::Int64Builder builder(region->memory_pool());     // Arrow builds in the region
//   ...
//   region->Publish("numbers", table);                      // in place, by name
//   region->OpenTable("numbers");                           // in any process, without a copy
//
// Everything that can fail returns arrow::Status or arrow::Result; csm::CodeOf() gives the exact
// CSM_E_... code. To make a region Arrow's default pool see csm/default_pool.hpp.
#pragma once

#include <csm/context.hpp>
#include <csm/pool.hpp>
#include <csm/region.hpp>
#include <csm/status.hpp>
#include <csm/table.hpp>
#include <csm/version.hpp>
