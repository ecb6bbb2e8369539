Feature: Backpressure
  Each lane of the queue has its bound. A full one refuses and says when to come back, computed from the queue;
  or, where the configuration says so, it lets the batch task go that has waited longest.

  @ORCH-QUEUE-1 @ORCH-QUEUE-4 @ORCH-ERR-3 @HOME-API-5
  Scenario: A full lane refuses with a wait and leaves the other lane open
    Given a daemon with
      | pools[0].slots=1     |
      | queue.interactive=2  |
      | queue.batch=2        |
    And I submit an endless interactive task "runs"
    And "runs" is running
    And I submit 2 batch tasks "b" of 20 tokens
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x", "priority": "batch", "max_tokens": 4}
      """
    Then the status is 429
    And it is an error envelope with the code "ADMISSION_REJECT"
    And a wait of 1 to 60 s is told in the headers and in the body
    And the field "engine" is "llamacpp"
    And the message contains "batch"
    When I submit an interactive task "i1" of 4 tokens
    Then the status is 202
    When I submit an interactive task "i2" of 4 tokens
    And I POST "/v1/tasks" with the body
      """
      {"prompt": "x", "max_tokens": 4}
      """
    Then the status is 429
    And a wait of 1 to 60 s is told in the headers and in the body
    When I cancel "runs"
    And all tasks have ended
    Then "b1" has 20 tokens
    And "b2" has 20 tokens
    And "i1" has 4 tokens
    And "i2" has 4 tokens
