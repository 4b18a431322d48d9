# For ports that are built by CMake (esp32); the board's sdkconfig switches ALPN on.
add_library(usermod_alpn INTERFACE)
target_sources(usermod_alpn INTERFACE ${CMAKE_CURRENT_LIST_DIR}/alpn.c)
target_link_options(usermod_alpn INTERFACE
    -Wl,--wrap=mbedtls_ssl_setup
    -Wl,--wrap=mbedtls_ssl_get_ciphersuite
)
target_link_libraries(usermod INTERFACE usermod_alpn)
