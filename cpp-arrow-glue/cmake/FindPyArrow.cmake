# Finds the Arrow C++ that comes inside the Python package pyarrow, which has headers and libraries
# but neither ArrowConfig.cmake nor unversioned library names.
#
#   PyArrow_ROOT        the package's folder; by default the one that Python3_EXECUTABLE (or python3) imports
#   PyArrow_VERSION     e.g. 26.0.1
#   PyArrow::arrow, and where the wheel has them PyArrow::arrow_compute, _acero, _dataset, _flight,
#   PyArrow::parquet    imported libraries with the include folder, the C++ standard and the C++ ABI they need

if(NOT PyArrow_ROOT)
  find_package(Python3 QUIET COMPONENTS Interpreter)
  if(Python3_EXECUTABLE)
    execute_process(COMMAND "${Python3_EXECUTABLE}" -c "import pyarrow, os; print(os.path.dirname(pyarrow.__file__))"
      OUTPUT_VARIABLE _pyarrow_root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    set(PyArrow_ROOT "${_pyarrow_root}")
  endif()
endif()

set(PyArrow_INCLUDE_DIR "PyArrow_INCLUDE_DIR-NOTFOUND")
if(PyArrow_ROOT AND EXISTS "${PyArrow_ROOT}/include/arrow/util/config.h")
  set(PyArrow_INCLUDE_DIR "${PyArrow_ROOT}/include")
  file(STRINGS "${PyArrow_INCLUDE_DIR}/arrow/util/config.h" _pyarrow_line REGEX "define ARROW_VERSION_STRING")
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" PyArrow_VERSION "${_pyarrow_line}")
endif()
file(GLOB PyArrow_LIBRARY "${PyArrow_ROOT}/libarrow.so.*[0-9]")

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PyArrow
  REQUIRED_VARS PyArrow_LIBRARY PyArrow_INCLUDE_DIR VERSION_VAR PyArrow_VERSION)

if(PyArrow_FOUND AND NOT TARGET PyArrow::arrow)
  if(PyArrow_VERSION VERSION_LESS 24)
    set(_pyarrow_standard cxx_std_17)
  else()
    set(_pyarrow_standard cxx_std_20)
  endif()
  # Wheels before 13 were built with libstdc++'s old ABI: without this a program links, then crashes.
  set(_pyarrow_definitions "")
  if(PyArrow_VERSION VERSION_LESS 13)
    set(_pyarrow_definitions "_GLIBCXX_USE_CXX11_ABI=0")
  endif()
  foreach(_pyarrow_name arrow arrow_compute arrow_acero arrow_dataset arrow_flight parquet)
    file(GLOB _pyarrow_file "${PyArrow_ROOT}/lib${_pyarrow_name}.so.*[0-9]")
    if(_pyarrow_file)
      get_filename_component(_pyarrow_soname "${_pyarrow_file}" NAME)
      add_library(PyArrow::${_pyarrow_name} SHARED IMPORTED)
      set_target_properties(PyArrow::${_pyarrow_name} PROPERTIES
        IMPORTED_LOCATION "${_pyarrow_file}"
        IMPORTED_SONAME "${_pyarrow_soname}"
        INTERFACE_INCLUDE_DIRECTORIES "${PyArrow_INCLUDE_DIR}"
        INTERFACE_COMPILE_FEATURES ${_pyarrow_standard}
        INTERFACE_COMPILE_DEFINITIONS "${_pyarrow_definitions}")
      if(NOT _pyarrow_name STREQUAL "arrow")
        set_target_properties(PyArrow::${_pyarrow_name} PROPERTIES INTERFACE_LINK_LIBRARIES PyArrow::arrow)
      endif()
    endif()
  endforeach()
endif()
