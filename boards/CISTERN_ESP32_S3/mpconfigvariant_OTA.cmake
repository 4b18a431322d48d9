include(${CMAKE_CURRENT_LIST_DIR}/../common/ota.cmake)
