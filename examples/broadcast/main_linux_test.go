package main

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	const clients = 200
	server, url := serve(t, "-rate", "0.001")
	load := start(t, "-load", strconv.Itoa(clients), "-url", url)
	for enough := time.Now().Add(patience); ; { // both ends of all are in this process; the line comes every second
		n, err := strconv.Atoi(server.await(`^200 connections .* (\d+) goroutines$`)[0])
		require.NoError(t, err)
		if n < clients/2 {
			break
		}
		require.True(t, time.Now().Before(enough), "%d goroutines", n)
	}
	require.NoError(t, load.end())
	require.NoError(t, server.end())
}
