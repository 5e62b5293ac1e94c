// SPDX-License-Identifier: Apache-2.0
// Which Arrow this is compiled against, and whether the C++ ABI fits it.
//
// Arrow 10 to 26 are served by one source. What differs is named here, once.
#pragma once

#include <arrow/util/config.h>
#include <string>  // defines _GLIBCXX_USE_CXX11_ABI where the standard library is libstdc++

static_assert(ARROW_VERSION_MAJOR >= 10, "csm/arrow.hpp needs Arrow 10 or later");

// arrow::MemoryPool returns a std::string through its vtable. A program of the other ABI links and
// then crashes, so it is stopped here. The pyarrow wheels up to 12.0.1 have libstdc++'s old ABI,
// later ones the new one; other builds of Arrow have what their builder chose.
#if defined(_GLIBCXX_USE_CXX11_ABI) && !defined(CSM_ARROW_ABI_IS_MINE)
#if ARROW_VERSION_MAJOR < 13
static_assert(_GLIBCXX_USE_CXX11_ABI == 0,
              "pyarrow wheels before 13 need -D_GLIBCXX_USE_CXX11_ABI=0; if your Arrow was built with the "
              "ABI you compile with, define CSM_ARROW_ABI_IS_MINE");
#else
static_assert(_GLIBCXX_USE_CXX11_ABI == 1,
              "pyarrow wheels from 13 on need -D_GLIBCXX_USE_CXX11_ABI=1; if your Arrow was built with the "
              "ABI you compile with, define CSM_ARROW_ABI_IS_MINE");
#endif
#endif

// From 11 on the virtual functions of a pool take an alignment, and short forms sit beside them.
#define CSM_ARROW_POOL_TAKES_ALIGNMENT (ARROW_VERSION_MAJOR >= 11)
// From 12 on total_bytes_allocated() and num_allocations() are virtual.
#define CSM_ARROW_POOL_COUNTS_ALLOCATIONS (ARROW_VERSION_MAJOR >= 12)
