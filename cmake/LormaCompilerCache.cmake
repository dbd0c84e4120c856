# SPDX-License-Identifier: Apache-2.0
# Compiles through ccache where it is installed; never needed. The names of source files are taken
# relative to the project, so that one clone profits from another; precompiled headers need the rest.
find_program(LORMA_CCACHE ccache)
mark_as_advanced(LORMA_CCACHE)
if(LORMA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${LORMA_CCACHE})
endif()
