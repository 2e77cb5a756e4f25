package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReportIsWrittenAsTheSuiteDoes(t *testing.T) {
	t.Parallel()
	code := 1000
	report := Report{"My Server/2": {
		"1.1.1": {ID: "1.1.1", Behavior: OK, BehaviorClose: OK, Duration: 7, RemoteCloseCode: &code},
		"2.10":  {ID: "2.10", Behavior: Failed, BehaviorClose: Unclean, Received: []Event{{Kind: "message", Payload: []byte("a\xFF"), Binary: true}, pongWith("b")}},
		"2.9":   {ID: "2.9"},
	}}
	dir := filepath.Join(t.TempDir(), "new")
	require.NoError(t, report.Write(dir))

	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	require.JSONEq(t, `{"My Server/2": {
		"1.1.1": {"behavior": "OK", "behaviorClose": "OK", "duration": 7, "remoteCloseCode": 1000, "reportfile": "my_server_2_case_1_1_1.json"},
		"2.9": {"behavior": "", "behaviorClose": "", "duration": 0, "remoteCloseCode": null, "reportfile": "my_server_2_case_2_9.json"},
		"2.10": {"behavior": "FAILED", "behaviorClose": "UNCLEAN", "duration": 0, "remoteCloseCode": null, "reportfile": "my_server_2_case_2_10.json"}
	}}`, string(index))

	text, err := os.ReadFile(filepath.Join(dir, "my_server_2_case_2_10.json"))
	require.NoError(t, err)
	var one map[string]any
	require.NoError(t, json.Unmarshal(text, &one))
	require.Equal(t, []any{[]any{"message", "a\uFFFD", true}, []any{"pong", "b"}}, one["received"])
	for _, name := range suiteNames {
		require.Contains(t, one, name)
	}
}

// suiteNames are the fields of a report of the suite, but for trafficStats, which only its sections 12 and 13 have.
var suiteNames = []string{
	"agent", "behavior", "behaviorClose", "case", "closedByMe", "createStats", "createWirelog", "description", "droppedByMe", "duration",
	"expectation", "expected", "expectedClose", "failedByMe", "httpRequest", "httpResponse", "id", "isServer", "localCloseCode",
	"localCloseReason", "received", "remoteCloseCode", "remoteCloseReason", "reportTime", "result", "resultClose", "rxFrameStats",
	"rxOctetStats", "started", "txFrameStats", "txOctetStats", "wasClean", "wasCloseHandshakeTimeout", "wasNotCleanReason",
	"wasOpenHandshakeTimeout", "wasServerConnectionDropTimeout", "wirelog",
}
