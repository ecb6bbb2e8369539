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

  @ORCH-ERR-3
  Scenario: The wait follows the work in the queue
    Given a daemon with
      | pools[0].slots=1     |
      | queue.interactive=2  |
      | queue.batch=3        |
    And I submit the task "short" with
      """
      {"prompt": "Count: one two three", "max_tokens": 3000, "expected_tokens": 100,
       "sampling": {"temperature": 0, "logit_bias": [{"token": 0, "bias": -100}, {"token": 2, "bias": -100}]}}
      """
    And "short" is running
    And I submit 2 interactive tasks "w" of 4 tokens
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x", "max_tokens": 4}
      """
    Then the status is 429
    And I note the wait as "little work"
    When I cancel "w1"
    And I cancel "w2"
    And I cancel "short"
    And nothing runs or waits
    # Another daemon: on this one the refused caller has been promised the next place.
    Given a daemon with
      | pools[0].slots=1     |
      | queue.interactive=2  |
      | queue.batch=4        |
    And I submit the task "long" with
      """
      {"prompt": "Count: one two three", "max_tokens": 3000, "expected_tokens": 3000,
       "sampling": {"temperature": 0, "logit_bias": [{"token": 0, "bias": -100}, {"token": 2, "bias": -100}]}}
      """
    And "long" is running
    And I submit 2 interactive tasks "v" of 4 tokens
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x", "max_tokens": 4}
      """
    Then the status is 429
    And I note the wait as "much work"
    And the wait "much work" is longer than the wait "little work"

  @ORCH-QUEUE-4 @ORCH-TASK-12
  Scenario: A full batch lane lets its oldest task go where the configuration says so
    Given a daemon with
      | pools[0].slots=1         |
      | queue.batch=2            |
      | queue.when_full=drop-lru |
    And I submit an endless interactive task "runs"
    And "runs" is running
    And I submit 2 batch tasks "b" of 10 tokens
    And I open the stream of "b1"
    And I note the metrics
    When I submit a batch task "b3" of 10 tokens
    Then the status is 202
    And the open stream of "b1" ends with the error "QUEUE_FULL_DROP_LRU"
    And the counters have moved by exactly
      | tasks_enqueued_total | priority=batch             | 1 |
      | tasks_rejected_total | reason=QUEUE_FULL_DROP_LRU | 1 |
    When I cancel "runs"
    Then "b2" has 10 tokens
    And "b3" has 10 tokens
    And "b1" has 0 tokens
