# SPDX-License-Identifier: Apache-2.0
# A source must compile as far as its last line, the assertion that fails.
cmake_policy(VERSION 3.25)
if(PRECOMPILED)
  list(APPEND COMPILE -include ${PRECOMPILED} -Winvalid-pch)
endif()
execute_process(COMMAND ${COMPILE} -fsyntax-only -Wfatal-errors ${SOURCE} ERROR_VARIABLE output)
if(NOT output MATCHES "error: [^\n]*all headers are read")
  message(FATAL_ERROR "${SOURCE}:\n${output}")
endif()
file(TOUCH ${STAMP})
