Feature: The life of a replica
  A replica serves when it has proved that it can. One that dies is started again; one that cannot be started
  is a clear state with its reason, and the daemon goes on.

  @ORCH-REPL-3
  Scenario: A crash loop opens the breaker
    Given a daemon of its own with
      | worker.restart.min_ms=10 |
    When its worker is killed 5 times, whenever it serves
    Then the daemon's health becomes "unavailable"
    When I GET "/health"
    Then the status is 503
    And the field "pools[0].replicas[0].state" is "backing_off"
    And the field "pools[0].replicas[0].reason" contains "signal 9"
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x"}
      """
    Then the status is 503
    And it is an error envelope with the code "POOL_UNAVAILABLE"
    And a wait of 1 to 60 s is told in the headers and in the body

  @ORCH-MODEL-2 @HOME-MODEL-2
  Scenario: A model without a checksum is served, with a warning
    Given a daemon
    Then the daemon logs "no checksum is given"
    And the daemon's health becomes "ok"
