Feature: The stream of a task
  Server-sent events: `started` first, `token` without gaps, `end` last, exactly once, and nothing else.

  Background:
    Given a daemon with
      | pools[0].slots=1       |
      | stream.keepalive_s=0.2 |

  @ORCH-STREAM-1 @ORCH-STREAM-2 @HOME-API-6
  Scenario: From started to end
    Given I submit an interactive task "a" of 6 tokens
    When I GET the stream of "a"
    Then the status is 200
    And the header "content-type" is "text/event-stream"
    And the header "cache-control" is "no-cache"
    And the header "x-accel-buffering" is "no"
    And the stream goes from "started" over tokens 0 to 5 to "end"
    And the event "started" has exactly the keys "queue_position, predicted_start_ms"
    And the event "token" has exactly the keys "t, i"
    And the event "end" has exactly the keys "tokens_out, decode_ms, tokens_in, queue_ms, finish_reason"

  @ORCH-STREAM-7
  Scenario: Silence is filled with comments while a task waits
    Given I submit an endless interactive task "r"
    And "r" is running
    And I submit an interactive task "a" of 4 tokens
    When I GET the stream of "a", canceling "r" when a comment comes
    Then the stream goes from "started" over tokens 0 to 3 to "end"
    And the stream holds a comment

  @ORCH-STREAM-6
  Scenario: A finished answer is forgotten after a while
    Given a daemon with
      | stream.keep_finished_s=0.5 |
    And I submit an interactive task "a" of 2 tokens
    And "a" ends with "length"
    Then the stream of "a" becomes 404

  @ORCH-SEC-6
  Scenario: More streams than the limit are refused with a wait
    Given a daemon with
      | pools[0].slots=1 |
      | limits.streams=2 |
    And I submit an endless interactive task "a"
    And I open the stream of "a"
    And "a" is running
    And I submit an endless interactive task "b"
    And I open the stream of "b"
    When I GET the stream of "a"
    Then the status is 503
    And it is an error envelope with the code "REPLICA_EXHAUSTED"
    And the message contains "limits.streams"
    And a wait of 1 to 60 s is told in the headers and in the body
