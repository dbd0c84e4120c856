# SPDX-License-Identifier: Apache-2.0
# Precompiles what the cases include, and compiles all of them as they are.
cmake_policy(VERSION 3.25)
execute_process(COMMAND ${COMPILE} -x c++-header ${WORK}/all.hpp -o ${WORK}/all.hpp.gch
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${COMPILE} -Winvalid-pch -fsyntax-only ${WORK}/control.cpp
                RESULT_VARIABLE result ERROR_VARIABLE output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "a case does not compile without LORMA_FAIL:\n${output}")
endif()
