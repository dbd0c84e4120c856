# SPDX-License-Identifier: Apache-2.0
# cmake -D NAME=... -D SOURCES=... -P together.cmake: prints the source of lorma_together, written here.
cmake_policy(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../cmake/LormaTogether.cmake)
lorma_together(source ${NAME} ${SOURCES})
execute_process(COMMAND ${CMAKE_COMMAND} -E echo ${source})
