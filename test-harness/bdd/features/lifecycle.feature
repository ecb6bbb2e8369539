Feature: The life of a replica
  A replica serves when it has proved that it can. One that dies is started again; one that cannot be started
  is a clear state with its reason, and the daemon goes on.

  @ORCH-REPL-1
  Scenario: The health of a daemon that serves
    Given a daemon
    When I GET "/health"
    Then the status is 200
    And the field "status" is "ok"
    And the field "pools[0].state" is "ready"
    And the field "pools[0].replicas[0].state" is "ready"
    And the field "pools[0].replicas[0].id" is "default/0"
    And the field "pools[0].replicas[0].slots_busy" is 0
    And the field "pools[0].model.architecture" is "llama"
    And the field "pools[0].queue.interactive" is {"bound":256,"depth":0}

  @ORCH-REPL-2 @ORCH-REPL-8 @ORCH-SHAPE-1
  Scenario: A worker that dies is started again, and the queue goes on
    Given a daemon of its own with
      | worker.restart.min_ms=100 |
      | pools[0].slots=1          |
    And I submit an endless interactive task "r"
    And "r" is running
    And I submit an interactive task "waits" of 6 tokens
    And its workers are noted
    When a worker gets the signal KILL
    Then another worker serves
    And "waits" ends with "length"
    And "waits" has 6 tokens

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

  @ORCH-REPL-9
  Scenario: A worker that stands still is ended, and another takes its place
    Given a daemon of its own with
      | worker.hang_after_s=1     |
      | worker.restart.min_ms=10  |
      | pools[0].slots=1          |
    And I submit an endless interactive task "r"
    And "r" is running
    And I submit an interactive task "waits" of 6 tokens
    And its workers are noted
    When a worker gets the signal STOP
    Then another worker serves
    And "waits" ends with "length"
    And none of its workers is left

  @ORCH-MODEL-9
  Scenario: A model is loaded for its first task, and unloaded when it has been idle
    Given a daemon of its own with
      | pools[0].preload=false   |
      | pools[0].idle_unload_s=1 |
    When I submit an interactive task "a" of 4 tokens
    Then "a" ends with "length"
    And its workers are noted
    And none of its workers is left
    When I submit an interactive task "b" of 4 tokens
    Then "b" ends with "length"

  @ORCH-MODEL-2 @HOME-MODEL-2
  Scenario: A model without a checksum is served, with a warning
    Given a daemon
    Then the daemon logs "no checksum is given"
    And the daemon's health becomes "ok"

  @ORCH-MODEL-4 @ORCH-SHAPE-1
  Scenario: A model whose file is cut off
    Given a daemon with half of the model's file
    When I GET "/health"
    Then the status is 503
    And the field "status" is "unavailable"
    And the field "pools[0].replicas[0].reason" contains "half.gguf"
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x"}
      """
    Then the status is 503
    And it is an error envelope with the code "POOL_UNAVAILABLE"
    And a wait of 1 to 60 s is told in the headers and in the body

  @ORCH-MODEL-4
  Scenario: A model that is not there
    Given a daemon with the model "file:/no/such/model.gguf"
    And the daemon's health becomes "unavailable"
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x"}
      """
    Then the status is 503
    And it is an error envelope with the code "POOL_UNAVAILABLE"
    And the message contains "/no/such/model.gguf"
    When I GET "/health" without a token
    Then the body is exactly
      """
      {"status": "unavailable"}
      """
